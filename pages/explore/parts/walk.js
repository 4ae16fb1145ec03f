// A random walk: from a clip to one of those that the model finds nearest, as far as one likes.
import { any, ask, card, element, exchange, fail, frameOf, go, make, middle } from "./common.js";

const NEIGHBOURS = 8;
let about, way = "image-audio", path = [], visit = 0;

export function begin(known) {
  about = known;
  if (!about.shared_space) way = "image-image";
  element("way").addEventListener("change", (event) => {
    way = event.target.value;
    go("walk", { key: current(), way });
  });
}

const current = () => path.at(-1)?.key ?? "";

export async function show(values) {
  const key = values.get("key");
  if (!key) return elsewhere(true);
  way = values.get("way") ?? way;
  for (const input of document.querySelectorAll('input[name="way"]')) input.checked = input.value === way;
  const mine = ++visit;
  const clip = await ask(`api/clip/${encodeURIComponent(key)}`);
  if (mine !== visit) return; // one has stepped on meanwhile
  clip.time = middle(clip);
  const known = path.findIndex((step) => step.key === key);
  path = known < 0 ? [...path, clip] : path.slice(0, known + 1);
  stand(clip);
  const [by, to] = way.split("-");
  const found = await ask("api/search", { query: key, by, to, top: NEIGHBOURS + 1 });
  if (mine !== visit) return;
  const own = found.hits.findIndex((hit) => hit.own);
  const hits = found.hits.filter((hit) => !hit.own).slice(0, NEIGHBOURS);
  const seen = new Set(path.map((step) => step.key));
  exchange(element("steps"), hits.map((hit) => {
    const made = card(hit, about.seconds, [["Step here", (next) => go("walk", { key: next.key, way })]], seen.has(hit.key) ? "seen" : "");
    if (seen.has(hit.key)) made.classList.add("seen");
    return made;
  }), element("here-label"));
  const what = { image: "picture", audio: "sound" };
  const aside = by === to ? "" : own < 0 ? `; its own ${what[to]} is not among them` : `; its own ${what[to]} is number ${own + 1}`;
  element("neighbours").textContent = `${to === "image" ? "Pictures" : "Sounds"} nearest to its ${what[by]}${aside}`;
}

/** Show where one is. */
function stand(clip) {
  const back = make("button", { type: "button", id: "back", disabled: path.length < 2 }, "Back");
  back.addEventListener("click", () => go("walk", { key: path.at(-2).key, way }));
  const away = make("button", { type: "button", id: "elsewhere" }, "Somewhere else");
  away.addEventListener("click", () => elsewhere(false).catch(fail));
  const search = make("button", { type: "button" }, "Search with it");
  search.addEventListener("click", () => go("search", { query: clip.key }));
  const pair = make("button", { type: "button" }, "Pair");
  pair.addEventListener("click", () => go("pair", { image: clip.key, audio: clip.key, time: clip.time.toFixed(3) }));
  const picture = card(clip, about.seconds, []);
  picture.querySelector(".facts").remove();
  exchange(element("here"), [picture, make("div", {},
    make("h3", { id: "here-label" }, clip.label || "no label"),
    make("p", { class: "facts" }, `${clip.key} · ${clip.split} · ${clip.duration.toFixed(1)} s, ${clip.times.length} frames`),
    make("div", { class: "row" }, back, away, search, pair))], element("walk-title"));
  element("path-part").hidden = path.length < 2;
  exchange(element("path"), path.slice(-24).map((step) => {
    const button = make("button", { type: "button", "aria-label": `Back to ${step.label || step.key}` },
      make("img", { src: frameOf(step.key, step.time), alt: "" }), make("span", {}, step.label || step.key));
    if (step === path.at(-1)) button.setAttribute("aria-current", "step");
    button.addEventListener("click", () => go("walk", { key: step.key, way }));
    return make("li", {}, button);
  }), element("here-label"));
}

async function elsewhere(first) {
  const clip = await any(current());
  if (!first) path = [];
  if (first) location.replace(`#walk?key=${clip.key}&way=${way}`);
  else go("walk", { key: clip.key, way });
}
