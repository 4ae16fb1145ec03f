"use strict";

// One sound at a time: a second press, or another button, stops the one that plays.
let playing = null;

function stop() {
  if (!playing) return;
  const { button, sound } = playing;
  playing = null;
  sound.pause();
  sound.currentTime = 0;
  button.setAttribute("aria-pressed", "false");
}

for (const button of document.querySelectorAll("button[data-sound]")) {
  button.addEventListener("click", () => {
    const again = playing && playing.button === button;
    stop();
    if (again) return;
    const sound = document.getElementById("sound-" + button.dataset.sound);
    playing = { button, sound };
    button.setAttribute("aria-pressed", "true");
    sound.onended = stop;
    sound.play().catch(stop);
  });
}

// A press on a class in the legend brings it forward in both plots.
const legend = document.querySelectorAll("button[data-class]");
for (const button of legend) {
  button.addEventListener("click", () => {
    const chosen = button.getAttribute("aria-pressed") === "true" ? null : button.dataset.class;
    for (const other of legend) other.setAttribute("aria-pressed", String(other.dataset.class === chosen));
    for (const group of document.querySelectorAll("g[data-class]")) {
      group.classList.toggle("faded", chosen !== null && group.dataset.class !== chosen);
    }
  });
}
