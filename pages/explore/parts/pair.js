// A pair: any frame of one clip with any moment of the sound of one, and what the model makes of them.
import { any, ask, element, fail, forget, frameOf, go, make, middle, resolve, soundOf, spectrumOf, suggest, words } from "./common.js";
import { listen, silence } from "./sound.js";

const TRUTH = {
  match: ["They belong together: the frame is shown while this is heard.", true],
  same_clip: ["They are of one clip, but of different moments.", null],
  same_video: ["They are of two clips of one source video.", null],
  same_class: ["They do not belong together: two videos of one class.", false],
  other_video: ["They do not belong together: two videos of different kinds.", false],
};
const STRIP = 8;
let about, image = null, audio = null, frame = 0, start = 0, asking = null, drawing = null, visit = 0;

export function begin(known) {
  about = known;
  for (const side of ["image", "audio"]) {
    suggest(element(`${side}-key`), element(`${side}-keys`));
    element(`${side}-form`).addEventListener("submit", (event) => {
      event.preventDefault();
      const text = element(`${side}-key`).value.trim();
      if (text) resolve(text).then((key) => change(side, key), fail);
    });
    element(`${side}-any`).addEventListener("click", () => any({ image, audio }[side]?.key).then((clip) => change(side, clip.key), fail));
  }
  element("frame-number").addEventListener("input", (event) => setFrame(Number(event.target.value)));
  element("sound-start").addEventListener("input", (event) => setStart(Number(event.target.value)));
  const stage = element("sound-stage");
  const point = (event) => {
    const box = stage.getBoundingClientRect();
    setStart(((event.clientX - box.left) / box.width) * audio.duration - about.seconds / 2);
  };
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    point(event);
  });
  stage.addEventListener("pointermove", (event) => event.buttons && point(event));
  listen(element("play"), () => soundOf(audio.key, start), element("played"));
  element("frame").addEventListener("load", ({ target }) => element("stage").style.setProperty("--ratio", target.naturalWidth / target.naturalHeight));
  element("same").addEventListener("click", () => go("pair", { image: image.key, audio: image.key, time: image.times[frame].toFixed(3), start: centred(image.times[frame], image.duration).toFixed(3) }));
  element("swap").addEventListener("click", () => go("pair", { image: audio.key, audio: image.key }));
  element("show-heat")?.addEventListener("change", judge);
}

const change = (side, key) => go("pair", { image: image.key, audio: audio.key, time: side === "image" ? "" : image.times[frame].toFixed(3), start: side === "audio" ? "" : start.toFixed(3), [side]: key });
const centred = (time, duration) => Math.min(Math.max(0, time - about.seconds / 2), Math.max(0, duration - about.seconds));

export async function show(values) {
  if (!values.get("image")) {
    const clip = await any();
    return location.replace(`#pair?image=${clip.key}&audio=${values.get("audio") ?? clip.key}`);
  }
  const keys = [values.get("image"), values.get("audio") ?? values.get("image")];
  const mine = ++visit;
  const clips = await Promise.all(keys.map((key) => ask(`api/clip/${encodeURIComponent(key)}`)));
  if (mine !== visit) return; // another pair was chosen meanwhile
  [image, audio] = clips;
  for (const [side, clip] of [["image", image], ["audio", audio]]) {
    element(`${side}-key`).value = clip.key;
    element(`${side}-named`).textContent = `${clip.label || "no label"} · ${clip.split}`;
  }
  const time = Number(values.get("time") || middle(image));
  frame = image.times.reduce((best, other, number) => (Math.abs(other - time) < Math.abs(image.times[best] - time) ? number : best), 0);
  const wanted = values.get("start") ? Number(values.get("start")) : centred(image === audio || image.key === audio.key ? image.times[frame] : audio.duration / 2, audio.duration);
  element("frame-number").max = image.times.length - 1;
  element("sound-start").max = Math.max(0, audio.duration - about.seconds).toFixed(3);
  element("spectrum").src = spectrumOf(audio.key);
  strip();
  setFrame(frame, false);
  setStart(wanted, false);
  draw();
  await judge();
}

function strip() {
  const count = Math.min(STRIP, image.times.length);
  element("strip").replaceChildren(...Array.from({ length: count }, (_, place) => {
    const number = Math.floor(((place + 0.5) * image.times.length) / count);
    const button = make("button", { type: "button", tabIndex: -1, "aria-hidden": "true" }, make("img", { src: frameOf(image.key, image.times[number]), alt: "" }));
    button.addEventListener("click", () => setFrame(number));
    return button;
  }));
}

function setFrame(number, ask = true) {
  frame = number;
  const time = image.times[frame];
  element("frame").src = frameOf(image.key, time);
  element("frame").alt = `Frame of ${image.label || image.key} at ${time.toFixed(2)} s`;
  const input = element("frame-number");
  input.value = frame;
  input.setAttribute("aria-valuetext", `frame ${frame + 1} of ${image.times.length}, at ${time.toFixed(2)} s`);
  element("image-named").textContent = `${image.label || "no label"} · ${image.split} · ${time.toFixed(2)} s`;
  if (ask) {
    judge();
    draw();
  }
}

function setStart(wanted, ask = true) {
  if (ask) silence();
  start = Math.min(Math.max(0, wanted), Math.max(0, audio.duration - about.seconds));
  const input = element("sound-start");
  input.value = start;
  input.setAttribute("aria-valuetext", `from ${start.toFixed(2)} s`);
  const place = element("window").style;
  place.left = `${(100 * start) / audio.duration}%`;
  place.width = `${Math.min(100, (100 * about.seconds) / audio.duration)}%`;
  element("audio-named").textContent = `${audio.label || "no label"} · ${audio.split} · ${start.toFixed(2)} to ${(start + about.seconds).toFixed(2)} s`;
  if (ask) judge();
}

/** Ask for the probability of what is chosen now; an older question that still waits is given up. */
async function judge() {
  asking?.abort();
  asking = new AbortController();
  const verdict = element("verdict");
  verdict.ariaBusy = "true";
  const question = { image: image.key, frame: String(frame), audio: audio.key, start: start.toFixed(4) };
  try {
    const found = await ask("api/pair", question, { signal: asking.signal });
    forget();
    tell(found);
    verdict.dataset.question = words(question);
  } catch (error) {
    fail(error);
    if (error.name === "AbortError") return; // by a later question
    verdict.replaceChildren();
  }
  verdict.ariaBusy = "false";
}

function tell({ probability, truth, crop, map }) {
  const percent = 100 * probability;
  const [text, belongs] = TRUTH[truth];
  const says = probability >= 0.5;
  const bar = make("i");
  bar.style.width = `${percent}%`;
  const gauge = make("div", { class: "gauge", role: "img", "aria-label": `${percent.toFixed(1)} % on a scale from 0 to 100 %` }, bar);
  const right = belongs === null ? null : make("span", { class: belongs === says ? "right" : "mistaken" }, belongs === says ? " The model is right." : " The model is mistaken.");
  element("verdict").dataset.probability = probability;
  element("verdict").replaceChildren(
    make("p", { class: "score" }, percent.toFixed(1), make("small", {}, "%")),
    make("div", {}, make("p", {}, says ? "The model says that they belong together." : "The model says that they do not belong together."), gauge, make("p", { class: "note" }, text, right)));
  const box = element("crop").style;
  [box.left, box.top, box.width, box.height] = crop.map((share) => `${100 * share}%`);
  heat(map, box);
}

const stops = getComputedStyle(document.documentElement).getPropertyValue("--heat").match(/\d+ \d+ \d+/g)
  .map((text) => text.split(" ").map(Number));

/** Return the colour of a number in [0, 1]. */
function heatColour(value) {
  const place = value * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2);
  return stops[low].map((part, channel) => part + (place - low) * (stops[low + 1][channel] - part));
}

/** Paint where the sound comes from over what the model sees. */
function heat(map, box) {
  const canvas = element("heat");
  canvas.hidden = !map || !element("show-heat").checked;
  if (canvas.hidden) return;
  canvas.height = map.length;
  canvas.width = map[0].length;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  map.flat().forEach((value, place) => picture.data.set([...heatColour(value), 255 * value], 4 * place));
  context.putImageData(picture, 0, 0);
  for (const name of ["left", "top", "width", "height"]) canvas.style[name] = box[name];
}

/** Draw how probable the frame is with every moment of the sound. */
async function draw() {
  drawing?.abort();
  drawing = new AbortController();
  const svg = element("curve");
  svg.replaceChildren();
  element("sound-note").textContent = "";
  try {
    const { starts, probabilities } = await ask("api/curve", { image: image.key, frame: String(frame), audio: audio.key }, { signal: drawing.signal });
    const points = starts.map((at, number) => `${((1000 * (at + about.seconds / 2)) / audio.duration).toFixed(1)} ${(98 - 96 * probabilities[number]).toFixed(1)}`);
    const path = `M${points.join("L")}`;
    const first = points[0].split(" ")[0];
    const end = points.at(-1).split(" ")[0];
    for (const [kind, d] of [["area", `${path}L${end} 100L${first} 100Z`], ["half-line", "M0 50H1000"], ["chance", path]]) {
      const drawn = document.createElementNS("http://www.w3.org/2000/svg", "path");
      drawn.setAttribute("class", kind);
      drawn.setAttribute("d", d);
      svg.append(drawn);
    }
    element("sound-note").textContent = "The line above the sound: the probability of the frame with each moment; dashed, a half.";
  } catch (error) {
    if (error.name !== "AbortError") element("sound-note").textContent = error.message;
  }
}
