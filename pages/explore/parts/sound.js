// One sound at a time: a second press, or another button, stops the one that plays.
import { ask, fail } from "./common.js";

const player = document.getElementById("player");
let playing = null;

export function silence() {
  if (!playing) return;
  const { button, line } = playing;
  playing = null;
  player.pause();
  button.setAttribute("aria-pressed", "false");
  if (line) line.style.width = "0";
}

function tick() {
  if (!playing) return;
  if (playing.line && player.duration) playing.line.style.width = `${(100 * player.currentTime) / player.duration}%`;
  requestAnimationFrame(tick);
}

/** Let a button play what `source` names at that time; `line` shows how far it is. */
export function listen(button, source, line = null) {
  button.addEventListener("click", () => {
    const again = playing?.button === button;
    silence();
    if (again) return;
    playing = { button, line };
    button.setAttribute("aria-pressed", "true");
    player.src = source();
    player.play().then(tick, (error) => {
      if (error.name !== "AbortError") silence();
    });
  });
}

player.addEventListener("ended", silence);
player.addEventListener("error", () => {
  silence();
  ask(player.src).then(() => fail(new Error("the browser cannot play this sound")), fail);
});
