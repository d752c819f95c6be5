// One filter: its texture while it is solved, and what else is known of it.
import { cancelSlot, history } from "./api.js";
import { make } from "./dom.js";
import { liveView } from "./live.js";

const { remember } = window.texton; // of theme.js
const SIZES = [64, 96, 128, 160, 224, 320, 448];
const TEXTURE = "filter";
// What explains a filter beside its texture; those of evidence only where the server has some.
const BESIDE = [
  { name: "project", title: "What its strongest answer hangs on", evidence: false },
  { name: "patches", title: "What excites it in the evidence", evidence: true },
  { name: "parts", title: "What it is made of", evidence: true },
];

// unit() says which filter is chosen; onClose() that none is any more.
export function filterPanel({ house, unit, onClose }) {
  const method = house.methods.find((one) => one.name === TEXTURE);
  const preset = method.options.find((one) => one.name === "preset");
  const size = make("select", {}, SIZES.map((one) => make("option", { value: one, selected: one === Number(remember("size-solved") ?? 128) }, `${one} pixels`)));
  const how = make("select", {}, preset.choices.map((one) => make("option", { value: one, selected: one === (remember("preset-solved") ?? preset.default) }, one)));
  const heading = make("h2", { tabindex: -1 }, "A filter");
  const live = liveView({ slot: "explore", empty: "Choose a map. The texture that its filter extracts appears here while it is solved.", onCancel: () => abandon() });
  const again = make("button", { type: "button", class: "plain", hidden: true, onclick: () => start() }, "Solve");
  const shut = make("button", { type: "button", class: "close", "aria-label": "Close and cancel", onclick: () => { close(); onClose(); } }, "×");
  const settings = make("div", { class: "tools small" }, make("label", { class: "field" }, "Long edge", size), make("label", { class: "field" }, "Preset", how), again);
  const known = new Set(house.methods.map((one) => one.name));
  const beside = BESIDE.filter((one) => known.has(one.name) && (house.evidence || !one.evidence)).map((one) => {
    const view = liveView({ slot: `explore-${one.name}`, empty: "…", plot: false });
    return { ...one, view, node: make("section", { class: "beside-texture", hidden: true }, make("h3", {}, one.title), view) };
  });
  const node = make("section", { class: "panel", "aria-label": "The chosen filter" }, make("div", { class: "panel-head" }, heading, shut), live, settings, beside.map((one) => one.node));
  for (const [select, key] of [[size, "size-solved"], [how, "preset-solved"]]) {
    select.addEventListener("change", () => { remember(key, select.value); start(); });
  }

  function body(name) {
    const { photo, network, layer, channel } = unit();
    const axes = house.methods.find((one) => one.name === name).axes;
    const options = name === TEXTURE && how.value !== preset.default ? { preset: how.value } : {};
    return { method: name, photo: axes.includes("photo") ? photo : null, network, layer, channel, options, size: axes.includes("photo") ? Number(size.value) : null };
  }

  let shown = false;
  const label = () => `${unit().layer}:${unit().channel}`;

  function start() {
    if (unit().channel === null) return;
    live.clear("");
    live.start(body(TEXTURE), label());
    for (const one of beside) {
      one.node.hidden = false;
      one.view.clear("Comes after the texture");
      one.view.start(body(one.name), one.title);
    }
  }

  // The texture that is there already: solved now, or kept from before.
  async function recall() {
    if (live.recall(label())) {
      for (const one of beside) one.node.hidden = !one.view.recall(one.title);
      return;
    }
    const { photo, network, layer, channel } = unit();
    const kept = (await history().catch(() => [])).find((one) => one.method === TEXTURE && one.network === network && one.photo?.id === photo && one.unit.layer === layer && one.unit.channel === channel);
    if (unit().channel !== channel || unit().layer !== layer) return;
    if (kept) live.show(kept);
    else live.clear("Not solved yet: “Solve” begins.");
  }

  // What was shown is left for another layer or photograph: nobody watches it any more.
  function abandon() {
    for (const slot of ["explore", ...beside.map((one) => `explore-${one.name}`)]) {
      cancelSlot(slot);
    }
  }

  function open(fresh) {
    shown = true;
    heading.textContent = label();
    again.hidden = false;
    node.classList.add("open");
    if (fresh) start();
    else recall();
    node.scrollTop = 0;
  }

  function close() {
    if (shown) abandon();
    shown = false;
    heading.textContent = "A filter";
    again.hidden = true;
    node.classList.remove("open");
    live.clear();
    beside.forEach((one) => { one.node.hidden = true; });
  }

  return { node, open, close, stop() { live.stop(); beside.forEach((one) => one.view.stop()); } };
}
