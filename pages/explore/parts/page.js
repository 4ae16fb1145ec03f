// The parts of the page by the address behind #, so that the browser's own back and forward work.
import { ask, element, fail, forget } from "./common.js";
import { silence } from "./sound.js";
import * as search from "./search.js";
import * as walk from "./walk.js";
import * as pair from "./pair.js";

const views = { search, walk, pair };
let shown = "";

function show() {
  const [name, text = ""] = decodeURI(location.hash).slice(1).split("?");
  const view = views[name] ? name : "search";
  forget();
  silence();
  for (const other of Object.keys(views)) {
    element(`${other}-view`).hidden = other !== view;
    const link = document.querySelector(`nav a[href^="#${other}"]`);
    if (other === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (shown && shown !== view) {
    element(`${view}-title`).focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  shown = view;
  views[view].show(new URLSearchParams(text)).catch(fail);
}

const about = await ask("api/about");
for (const view of Object.values(views)) view.begin(about);
addEventListener("hashchange", show);
show();
