// Search: with a file that is dropped or chosen, or with a clip.
import { any, ask, card, element, exchange, fail, forget, go, make, middle, remember, resolve, suggest } from "./common.js";

const STEP = 20;
const MOST = 48;
const NAMES = { image: "images", audio: "sounds" };
let about, file = null, sent = "", top = STEP, last = "", wished = "";

export function begin(known) {
  about = known;
  remember(known);
  suggest(element("key"), element("search-keys"));
  element("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = element("key").value.trim();
    if (text) resolve(text).then((key) => go("search", { query: key, ...filters() }), fail);
  });
  element("any").addEventListener("click", () => any(element("key").value).then((clip) => go("search", { query: clip.key, ...filters() }), fail));
  for (const id of ["to", "by", "label", "split", "duplicates"]) element(id).addEventListener("change", change);
  element("more").addEventListener("click", () => {
    top = Math.min(top + STEP, MOST);
    find(current()).catch(fail);
  });
  const drop = element("drop");
  element("file").addEventListener("change", (event) => event.target.files[0] && take(event.target.files[0]));
  // Also what is dropped beside the field is meant for it, and is not to be opened in place of the page.
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const dropped = event.dataTransfer.files[0];
    if (dropped) take(dropped);
  });
}

export async function show(values) {
  if (!values.get("query")) return start();
  top = STEP;
  for (const name of ["label", "split"]) element(name).value = values.get(name) ?? "";
  element("duplicates").checked = values.has("duplicates");
  await find(Object.fromEntries(values));
}

/** Before anything is asked: some clips to begin with. */
async function start() {
  preview(null);
  element("found").textContent = "Or begin with one of these";
  element("more").hidden = true;
  for (const input of document.querySelectorAll('input[name="by"]')) input.disabled = true;
  const clips = await ask("api/some", { count: 10 });
  element("hits").replaceChildren(...clips.map((clip) => card({ ...clip, time: middle(clip) }, about.seconds, actions)));
}

async function take(chosen) {
  forget();
  if (chosen.size > about.limit) {
    return fail(new Error(`${chosen.name} has ${(chosen.size / 1e6).toFixed(1)} MB; this server takes ${about.limit / 1e6} MB at most`));
  }
  if (location.hash && !location.hash.startsWith("#search")) location.hash = "search";
  file = chosen;
  element("file").value = "";
  const drop = element("drop");
  drop.classList.add("busy");
  element("found").textContent = `Looking at ${chosen.name} …`;
  element("hits").replaceChildren();
  try {
    const known = await send();
    go("search", { query: known.id, ...filters() });
    if (last === location.hash) await find(current());
  } catch (error) {
    file = null;
    await (current().query ? find(current()) : start()).catch(fail);
    fail(error);
  } finally {
    drop.classList.remove("busy");
  }
}

async function send() {
  const headers = { "Content-Type": "application/octet-stream" };
  const known = await ask("api/upload", { name: file.name }, { method: "POST", body: file, headers });
  sent = known.id;
  return known;
}

function filters() {
  return { to: wished, label: element("label").value, split: element("split").value, duplicates: element("duplicates").checked && 1 };
}

function current() {
  return Object.fromEntries(new URLSearchParams(location.hash.split("?")[1] ?? ""));
}

/** A filter or a side was changed: ask the same again. */
function change(event) {
  const { query } = current();
  const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`)?.value;
  let [by, to] = [chosen("by"), chosen("to")];
  if (event.currentTarget.id === "to") wished = to;
  if (!query) return;
  if (!about.shared_space) by = to = event.currentTarget.id === "to" ? to : by;
  go("search", { query, ...filters(), by, to });
}

async function find(values) {
  last = location.hash;
  const question = { ...values, top };
  if (!about.shared_space && !question.to && !question.by) question.to = question.by = "image";
  let found;
  try {
    found = await ask("api/search", question);
  } catch (error) {
    const gone = error.status === 404 && file && values.query === sent;
    if (!gone) {
      element("hits").replaceChildren();
      element("found").textContent = "";
      throw error;
    }
    await send();
    found = await ask("api/search", question);
  }
  if (last !== location.hash) return;
  const { query, by, to, hits } = found;
  element("key").value = query.kind === "clip" ? query.name : "";
  for (const [name, value] of [["by", by], ["to", to]]) {
    for (const input of document.querySelectorAll(`input[name="${name}"]`)) {
      input.checked = input.value === value;
      input.disabled = name === "by" ? !query[input.value] : !about.shared_space && !query[input.value];
    }
  }
  const side = by === "image" ? "picture" : "sound";
  const of = query.kind === side ? query.name : `the ${side} of ${query.name}`;
  element("found").textContent = hits.length ? `${NAMES[to][0].toUpperCase()}${NAMES[to].slice(1)} nearest to ${of}` : `No ${NAMES[to]} to compare ${of} with`;
  exchange(element("hits"), hits.map((hit) => card(hit, about.seconds, actions, hit.own ? "its own" : "")), element("found"));
  element("hits").dataset.question = last;
  element("more").hidden = hits.length < top || top >= MOST;
  await preview(query);
}

const actions = [
  ["More like this", (clip) => go("search", { query: clip.key, ...filters() })],
  ["Walk", (clip) => go("walk", { key: clip.key })],
  ["Pair", (clip) => go("pair", { image: clip.key, audio: clip.key, time: clip.time.toFixed(3) })],
];

/** Show in the field what is asked with. */
async function preview(query) {
  const place = element("preview");
  element("invitation").hidden = Boolean(query);
  place.hidden = !query;
  if (!query) return;
  const parts = [];
  if (query.kind === "clip") {
    const clip = await ask(`api/clip/${query.id}`);
    place.replaceChildren(make("img", { src: `clip/${clip.key}/frame.jpg?time=${middle(clip)}`, alt: `Frame of ${clip.label || clip.key}` }),
      make("span", {}, make("b", {}, clip.label || "no label"), " ", clip.key), make("small", {}, "Drop a picture, a sound or a video to ask with it"));
    return;
  }
  if (file && query.id === sent) {
    const url = URL.createObjectURL(file);
    const tag = { picture: "img", sound: "audio", video: "video" }[query.kind];
    const shown = tag === "img" ? make("img", { src: url, alt: query.name }) : make(tag, { src: url, controls: true, muted: false });
    shown.addEventListener("error", () => shown.remove()); // a kind that the server reads and the browser does not
    parts.push(shown);
  }
  const silence = query.filled ? `, ${query.filled} s of silence added to its sound` : "";
  place.replaceChildren(...parts, make("span", {}, make("b", {}, query.name)), make("small", {}, `${query.kind}${silence}; drop another to ask with it`));
}
