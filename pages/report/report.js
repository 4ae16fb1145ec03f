"use strict";

const data = (id) => JSON.parse(document.getElementById(id).textContent);
const sounds = data("sounds");
const player = document.getElementById("player");

// One sound at a time: a second press, or another button, stops the one that plays.
let playing = null;
const made = new Map();

function address(number) {
  if (!made.has(number)) {
    const [head, body] = sounds[number].split(",");
    const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
    made.set(number, URL.createObjectURL(new Blob([bytes], { type: head.slice(5).split(";")[0] })));
  }
  return made.get(number);
}

function stop() {
  if (!playing) return;
  const { mark } = playing;
  playing = null;
  player.pause();
  if (mark) mark.setAttribute("aria-pressed", "false");
}

function play(number, mark) {
  const again = playing && playing.number === number && playing.mark === mark;
  stop();
  if (again || !(number in sounds)) return;
  const now = { number, mark };
  playing = now;
  if (mark) mark.setAttribute("aria-pressed", "true");
  player.src = address(number);
  player.play().catch(() => { if (playing === now) stop(); });
}

player.addEventListener("ended", stop);
for (const button of document.querySelectorAll("button[data-sound]")) {
  button.addEventListener("click", () => play(button.dataset.sound, button));
}

// A press on a class in the legend brings it forward in both maps.
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

// The maps: the clip nearest to the pointer, or the one the arrow keys have reached, is marked in both, and its frame
// is shown beside it.
const points = data("points");
const maps = [...document.querySelectorAll(".map")];
const tip = document.querySelector(".tip");
const announced = document.getElementById("announced");
const REACH = 16;
let current = 0;  // the point that is or was marked last
let active = null;  // the map beside whose point the frame is shown

function screenPlace(map, number) {
  const svg = map.firstElementChild;
  const box = svg.getBoundingClientRect();
  const scale = box.width / svg.viewBox.baseVal.width;
  const [x, y] = points.places[map.dataset.map][number];
  return [box.left + x * scale, box.top + y * scale];
}

function show(map, number) {
  if (number !== null) current = number;
  active = number === null ? null : map;
  for (const each of maps) {
    const ring = each.querySelector(".ring");
    ring.classList.toggle("on", number !== null);
    if (number === null) continue;
    const [x, y] = points.places[each.dataset.map][number];
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
  }
  tip.hidden = number === null;
  if (number === null) return;
  const [label, key, seconds, media] = points.items[number];
  const found = media !== null && document.getElementById("picture-" + media);
  tip.firstElementChild.style.display = found ? "" : "none";
  if (found) tip.querySelector("use").setAttribute("href", "#picture-" + media);
  tip.lastElementChild.replaceChildren(Object.assign(document.createElement("b"), { textContent: label }),
    ` ${key} at ${seconds.toFixed(1)} s`);
  const [x, y] = screenPlace(map, number);
  const box = tip.getBoundingClientRect();
  const left = x + 18 + box.width < innerWidth - 8 ? x + 18 : x - 18 - box.width;
  tip.style.left = Math.max(8, Math.min(left, innerWidth - box.width - 8)) + "px";
  tip.style.top = Math.max(8, Math.min(y - box.height / 2, innerHeight - box.height - 8)) + "px";
}

function nearest(map, x, y, reach) {
  let best = null, least = reach * reach;
  points.places[map.dataset.map].forEach((_, number) => {
    const [a, b] = screenPlace(map, number);
    const distance = (a - x) ** 2 + (b - y) ** 2;
    if (distance < least) [best, least] = [number, distance];
  });
  return best;
}

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// The nearest point that lies more in the direction of the arrow than beside it.
function towards(map, [right, down]) {
  const places = points.places[map.dataset.map];
  const [x, y] = places[current];
  let best = current, least = Infinity;
  places.forEach(([a, b], number) => {
    const along = (a - x) * right + (b - y) * down, beside = Math.abs((a - x) * down) + Math.abs((b - y) * right);
    if (along > 0 && beside <= along && along + beside < least) [best, least] = [number, along + beside];
  });
  return best;
}

function announce(number) {
  const [label, key, seconds, media] = points.items[number];
  announced.textContent = `${label}, ${key} at ${seconds.toFixed(1)} s${media === null ? ", no sound" : ""}`;
}

function press(number) {
  const media = points.items[number][3];
  if (media !== null) play(String(media), null);
}

for (const map of maps) {
  map.addEventListener("pointermove", (event) => show(map, nearest(map, event.clientX, event.clientY, REACH)));
  map.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") show(map, null); });
  map.addEventListener("click", (event) => {
    const number = nearest(map, event.clientX, event.clientY, 1.5 * REACH);
    show(map, number);
    if (number !== null) press(number);
  });
  map.addEventListener("focus", () => {
    if (!map.matches(":focus-visible")) return;
    show(map, current);
    announce(current);
  });
  map.addEventListener("blur", () => show(map, null));
  map.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { stop(); show(map, null); return; }
    const step = STEPS[event.key], plays = event.key === "Enter" || event.key === " ";
    if (!step && !plays) return;
    event.preventDefault();
    show(map, step ? towards(map, step) : current);
    announce(current);
    if (plays) press(current);
  });
}
for (const name of ["scroll", "resize"]) {
  addEventListener(name, () => { if (active) show(active, current); }, { passive: true });
}
