// What a picture is made of: a photograph, a network, a layer.
import { network, on, upload } from "./api.js";
import { make, next, plural, say, toast } from "./dom.js";
import { dropZone } from "./widgets.js";

let count = 0;

// The photographs as thumbnails, and a place to drop another. node.value is an id or null.
export function photoPicker({ house, value = null, legend = "Photograph", open = "Open a photograph", none = "", onChange = () => {} }) {
  const name = `photo-${++count}`;
  const list = make("div", { class: "choice" });
  const drop = dropZone({ label: open, hint: "or drop it here", onFiles: ([file]) => take(file) });
  const node = make("fieldset", { class: "photo-picker" }, make("legend", {}, legend), list, drop);
  let chosen = value ?? (none ? null : house.photos[0]?.id ?? null);

  function show() {
    const focused = list.contains(document.activeElement);
    list.replaceChildren(...(none ? [one({ id: "", name: none })] : []), ...house.photos.map(one));
    list.hidden = list.children.length === 0;
    if (focused) list.querySelector(":checked")?.focus();
  }

  function one(photo) {
    const input = make("input", { type: "radio", name, value: photo.id, checked: (chosen ?? "") === photo.id, onchange: () => choose(photo.id || null) });
    return make("label", { title: photo.name }, input,
      photo.url ? make("img", { src: sized(photo.url, 96), alt: "", width: photo.width, height: photo.height }) : make("b", {}, photo.name),
      photo.url && make("span", {}, photo.name));
  }

  function choose(id) {
    chosen = id;
    show();
    onChange(id);
  }

  async function take(file) {
    drop.classList.add("busy");
    try {
      choose((await upload(file, house)).id);
      say(`${file.name} is open`, true);
    } catch (error) {
      toast(error.message, "error");
    }
    drop.classList.remove("busy");
  }

  Object.defineProperty(node, "value", { get: () => chosen, set: (id) => { chosen = id; show(); } });
  node.take = take;
  node.stop = on("photos", null, show);
  show();
  return node;
}

// The address of a photograph at another size.
export function sized(url, size) {
  return `${url.split("?")[0]}?size=${size}`;
}

export function networkSelect({ house, value = house.network, onChange = () => {} }) {
  const known = house.networks.some((one) => one.name === value) ? value : house.network;
  const select = make("select", { onchange: () => onChange(select.value) },
    house.networks.map((one) => make("option", { value: one.name, title: one.about, selected: one.name === known }, one.name)));
  const node = make("label", { class: "field" }, "Network", select);
  Object.defineProperty(node, "value", { get: () => select.value, set: (name) => { select.value = name; } });
  return node;
}

// A network drawn: from left to right its layers, as high as they have filters, as wide as their
// maps are fine. node.show(name, layer) loads it; onChange(layer) is told what is chosen.
export function layerPicker({ onChange = () => {}, legend = "Layer" }) {
  const line = make("p", { class: "told" });
  const drawing = make("div", { class: "network", role: "radiogroup", "aria-label": legend });
  const node = make("div", { class: "layer-picker" }, make("div", { class: "titled" }, make("h2", {}, legend), line), drawing);
  let layers = [], chosen = null, bars = new Map(), turn = 0;

  const words = (one) => [plural(one.channels, "filter"), one.field ? `sees ${one.field} × ${one.field} pixels` : "", one.stride > 1 ? `every ${ordinal(one.stride)} pixel` : "every pixel"].filter(Boolean).join(" · ");
  const tell = (one) => line.replaceChildren(...(one ? [make("b", {}, one.name), ` ${words(one)}`] : []));

  function draw() {
    const most = Math.sqrt(Math.max(...layers.map((one) => one.channels)));
    const finest = Math.log2(Math.max(...layers.map((one) => one.stride)));
    bars = new Map();
    const groups = [];
    for (const one of layers) {
      if (groups.at(-1)?.stride !== one.stride) groups.push({ stride: one.stride, bars: [] });
      groups.at(-1).bars.push(bar(one, Math.sqrt(one.channels) / most, finest - Math.log2(one.stride)));
    }
    drawing.replaceChildren(...groups.map((group) => {
      const row = make("div", { class: "bars", role: "presentation" }, group.bars);
      const block = make("div", { class: "block", role: "presentation" }, row, make("span", { "aria-hidden": "true" }, group.stride > 1 ? `1/${group.stride}` : "full"));
      block.style.flexGrow = group.bars.reduce((sum, one) => sum + Number(one.style.flexGrow), 0);
      return block;
    }));
  }

  function bar(one, height, fineness) {
    const button = make("button", {
      type: "button", role: "radio", class: `bar ${kind(one.kind)}`, "aria-checked": "false", tabindex: -1, "aria-label": `${one.name}, ${words(one).replaceAll(" · ", ", ")}`,
      onclick: () => choose(one.name), onpointerenter: () => tell(one), onpointerleave: () => tell(layers.find((x) => x.name === chosen)),
    }, make("span"));
    button.dataset.layer = one.name;
    button.firstChild.style.height = `${Math.max(5, 100 * height)}%`;
    button.style.flexGrow = 1 + 0.35 * fineness;
    bars.set(one.name, button);
    return button;
  }

  function mark(name) {
    if (chosen && bars.has(chosen)) { bars.get(chosen).setAttribute("aria-checked", "false"); bars.get(chosen).tabIndex = -1; }
    chosen = name;
    const button = bars.get(name);
    button.setAttribute("aria-checked", "true");
    button.tabIndex = 0;
    reveal(button);
    tell(layers.find((one) => one.name === name));
  }

  // Where not all of them have room, the drawing scrolls, and the page stays where it is.
  function reveal(button) {
    const { left, right } = drawing.getBoundingClientRect(), at = button.getBoundingClientRect();
    if (at.left < left || at.right > right) drawing.scrollLeft += (at.left + at.right - left - right) / 2;
  }

  function choose(name) {
    if (name === chosen) return;
    mark(name);
    onChange(layers.find((one) => one.name === name));
  }

  drawing.addEventListener("keydown", (event) => {
    const to = next(event, [...bars.values()]);
    if (!to) return;
    to.focus();
    choose(to.dataset.layer);
  });

  // Resolves to the layer that is shown: the wanted, or one from the middle that rectifies.
  node.show = async (name, wanted = null) => {
    const mine = ++turn;
    node.classList.add("busy");
    line.textContent = layers.length ? "" : `${name} is being loaded …`;
    try {
      const told = await network(name);
      if (mine !== turn) return null;
      layers = told.layers;
      chosen = null;
      draw();
      const layer = layers.find((one) => one.name === wanted) ?? middle(layers);
      if (layer) mark(layer.name);
      return layer;
    } catch (error) {
      if (mine === turn) line.textContent = error.message;
      return null;
    } finally {
      if (mine === turn) node.classList.remove("busy");
    }
  };
  Object.defineProperty(node, "value", { get: () => chosen });
  Object.defineProperty(node, "layer", { get: () => layers.find((one) => one.name === chosen) ?? null });
  return node;
}

const ordinal = (number) => `${number}${number % 100 > 10 && number % 100 < 14 ? "th" : ["th", "st", "nd", "rd"][number % 10] ?? "th"}`;

const kind = (name) => /conv/i.test(name) ? "conv" : /pool/i.test(name) ? "pool" : "other";

function middle(layers) {
  const rectified = layers.filter((one) => /relu|gelu|silu|swish/i.test(`${one.kind} ${one.name}`));
  const among = rectified.length ? rectified : layers;
  return among[Math.floor(0.45 * among.length)] ?? null;
}
