// The page: which view is open, and what all of them know.
import { get, listen, on } from "./api.js";
import { make, toast } from "./dom.js";

const VIEWS = {
  explore: () => import("./explore.js"),
  desk: () => import("./desk.js"),
  style: () => import("./style.js"),
  methods: () => import("./forms.js"),
  history: () => import("./history.js"),
};
const main = document.getElementById("main");
const title = document.title;
let mounted = null, turn = 0, house = null;

const view = () => {
  const name = location.hash.slice(1).split("?")[0];
  return name in VIEWS ? name : "explore";
};

async function show(moved) {
  const mine = ++turn, name = view();
  mounted?.unmount();
  mounted = null;
  const link = document.querySelector(`#views a[href="#${name}"]`);
  document.querySelectorAll("#views a").forEach((one) => one.removeAttribute("aria-current"));
  link.setAttribute("aria-current", "page");
  link.scrollIntoView({ block: "nearest", inline: "nearest" });
  document.title = `${link.textContent} · ${title}`;
  try {
    const { mount } = await VIEWS[name]();
    if (mine !== turn) return;
    const root = make("div", { class: `view ${name}` });
    main.replaceChildren(root);
    mounted = mount(root, house);
    if (moved) { main.focus({ preventScroll: true }); scrollTo(0, 0); }
  } catch (error) {
    console.error(error);
    if (mine === turn) main.replaceChildren(make("p", { class: "quiet" }, `${link.textContent} could not be opened: ${error.message}. Reload the page.`));
  }
}

// What was chosen last is chosen in the next view as well, and after a reload.
function remembered(found) {
  let kept = {};
  try { kept = JSON.parse(sessionStorage.getItem("texton-chosen")) ?? {}; } catch { /* nothing kept */ }
  const known = (id) => found.photos.some((one) => one.id === id);
  const chosen = { photo: known(kept.photo) ? kept.photo : found.photos[0]?.id ?? null, network: kept.network ?? found.network, layer: kept.layer ?? null, filter: kept.filter ?? null, method: kept.method ?? null };
  return new Proxy(chosen, {
    set(target, key, value) {
      target[key] = value;
      try { sessionStorage.setItem("texton-chosen", JSON.stringify(target)); } catch { /* not kept */ }
      return true;
    },
  });
}

async function begin() {
  try {
    house = await get("/api/house");
  } catch (error) {
    main.replaceChildren(make("p", {}, error.message));
    return;
  }
  house.pending = null;
  house.chosen = remembered(house);
  document.getElementById("house").textContent = house.version;
  if (house.atlas) document.getElementById("views").append(make("a", { href: house.atlas }, "Atlas"));
  on("connection", null, ({ open }) => {
    document.getElementById("connection").textContent = open ? "" : "The server is away. Is texton app still running?";
  });
  listen();
  addEventListener("hashchange", (event) => {
    if (location.hash === "#main") { // the link that skips to the content
      history.replaceState(null, "", event.oldURL);
      main.focus();
    } else {
      show(true);
    }
  });
  // A file dropped beside every place for it must not replace the page.
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    if (event.defaultPrevented) return;
    event.preventDefault();
    if (event.dataTransfer?.files.length) toast("Drop it on a place for pictures.");
  });
  await show(false);
}

begin();
