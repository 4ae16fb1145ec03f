// What all parts of the page use: questions to the server, elements, errors, cards.
import { listen } from "./sound.js";

export const element = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) made.setAttribute(name, value);
    else if (name === "class") made.className = value;
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function words(values) {
  const kept = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined && value !== false);
  return new URLSearchParams(kept).toString();
}

export async function ask(place, values = {}, options = {}) {
  const text = words(values);
  let answer;
  try {
    answer = await fetch(text ? `${place}?${text}` : place, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer; is avcorr explore still running?");
  }
  if (answer.status === 413) throw new Error("the file is larger than what this server takes");
  const found = await answer.json().catch(() => ({ error: `the server answers with ${answer.status}` }));
  if (!answer.ok) {
    const problem = new Error(found.error);
    problem.status = answer.status;
    throw problem;
  }
  return found;
}

export function fail(error) {
  if (error.name === "AbortError") return;
  const text = error.message.replace(/^[a-z]+(?=[ '])/, (word) => word[0].toUpperCase() + word.slice(1));
  const place = element("error");
  place.textContent = text + (/[.?!]$/.test(text) ? "" : ".");
  place.hidden = false;
  place.scrollIntoView({ block: "nearest" });
}

export function forget() {
  element("error").hidden = true;
}

/** Replace the children of an element; where that takes the focus away, `title` gets it, and what is new is shown. */
export function exchange(place, children, title) {
  const inside = place.contains(document.activeElement);
  place.replaceChildren(...children);
  if (!inside) return;
  title.tabIndex = -1;
  title.focus({ preventScroll: true });
  title.closest("section").scrollIntoView();
}

export function go(view, values = {}) {
  const text = words(values);
  location.hash = text ? `${view}?${text}` : view;
}

let version = "";
export function remember(about) {
  version = about.version;
}
export const frameOf = (key, time) => `clip/${key}/frame.jpg?${words({ time: time.toFixed(3), v: version })}`;
export const soundOf = (key, start) => `clip/${key}/sound.wav?${words({ start: start.toFixed(3), v: version })}`;
export const spectrumOf = (key) => `clip/${key}/spectrum.png?${words({ v: version })}`;

const SVG = "http://www.w3.org/2000/svg";

export function speaker() {
  const made = make("span", { class: "speaker" });
  for (const [name, sign] of [["start", "speaker"], ["stop", "stop"]]) {
    const svg = document.createElementNS(SVG, "svg");
    const use = document.createElementNS(SVG, "use");
    use.setAttribute("href", `#${sign}`);
    svg.setAttribute("class", name);
    svg.setAttribute("aria-hidden", "true");
    svg.append(use);
    made.append(svg);
  }
  return made;
}

/** A clip at a moment: its frame, its sound at a press, what is known of it, and what can be done with it. */
export function card(clip, seconds, actions, note = "") {
  const label = clip.label || "no label";
  const start = Math.max(0, clip.time - seconds / 2);
  const what = `${label}, ${clip.key}, at ${clip.time.toFixed(1)} s`;
  const line = make("span", { class: "line" });
  const view = make("button", { type: "button", class: "view", "aria-pressed": "false", "aria-label": `Play the sound of ${what}` },
    make("img", { src: frameOf(clip.key, clip.time), alt: "", loading: "lazy" }), speaker(), line,
    note ? make("span", { class: "own" }, note) : null);
  view.firstChild.addEventListener("error", (event) => event.target.replaceWith(make("span", { class: "lost" }, "This frame cannot be read.")));
  listen(view, () => soundOf(clip.key, start), line);
  const also = clip.also?.length ? [`${clip.also.length} more like it`] : [];
  const said = make("div", { class: "said" }, make("b", { title: label }, label));
  const bar = make("div", { class: "bar" }, make("i"));
  if (clip.cosine !== undefined) {
    said.append(make("span", { title: "Cosine of the embeddings" }, clip.cosine.toFixed(2)));
    bar.firstChild.style.width = `${100 * Math.max(0, clip.cosine)}%`;
  } else bar.hidden = true;
  const buttons = make("div", { class: "actions" });
  for (const [text, action] of actions) {
    const button = make("button", { type: "button", "aria-label": `${text}: ${what}` }, text);
    button.addEventListener("click", () => action(clip));
    buttons.append(button);
  }
  return make("article", { class: "card", "data-key": clip.key }, view, said, bar,
    make("p", { class: "facts" }, [clip.key, clip.split, `${clip.time.toFixed(2)} s`, ...also].join(" · ")), buttons);
}

/** Let a text field offer clips whose key or label holds what is typed. */
export function suggest(input, list) {
  let waiting = 0;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const found = await ask("api/keys", { text: input.value }).catch(() => []);
      list.replaceChildren(...found.map((clip) => make("option", { value: clip.key, label: clip.label })));
    }, 150);
  });
}

/** Return the key of what was typed: a key, or of a label any clip. */
export async function resolve(text) {
  const found = await ask("api/keys", { text });
  const exact = found.find((clip) => clip.key === text);
  if (exact) return exact.key;
  if (!found.length) throw new Error(`no clip has a key or a label like ${JSON.stringify(text)}`);
  return found[Math.floor(Math.random() * found.length)].key;
}

/** Return any clip but one. */
export const any = async (but = "") => (await ask("api/some", { but }))[0];

export const middle = (clip) => clip.times[Math.floor(clip.times.length / 2)];
