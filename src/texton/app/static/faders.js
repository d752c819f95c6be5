// Faders, as on a mixing desk: logarithmic, with the value to type, mute, solo and reset.
import { Refused, work } from "./api.js";
import { make, say } from "./dom.js";

let count = 0;

// Positions 0 to 100 of a native slider, and the values they stand for.
const SCALES = {
  log: { of: (at) => (at <= 0 ? 0 : 10 ** (at / 50 - 1)), at: (value) => (value <= 0 ? 0 : Math.max(1, 50 * (Math.log10(value) + 1))), high: 10, unit: "×" },
  share: { of: (at) => at / 100, at: (value) => 100 * value, high: 1, unit: "" },
  spread: { of: (at) => at / 25, at: (value) => 25 * value, high: 4, unit: "" },
  weight: { of: (at) => 10 ** (at / 25 - 2), at: (value) => 25 * (Math.log10(value) + 2), high: 100, low: 0.01, unit: "" },
};
const rounded = (value) => Number(value.toPrecision(3));

// one[field] is turned; onInput while it is dragged, onChange when it is let go of. onState: mute or
// solo were pressed; onRemove: it is not wanted any more. Double click or Reset: the neutral value.
export function fader({ name, key, one, field = "value", scale, neutral, picture = null, note = "", onInput, onChange, onState = null, onRemove = null }) {
  const { of, at, high, low = 0, unit } = SCALES[scale];
  const id = `fader-${++count}`, title = typeof name === "number" ? `Filter ${name}` : name;
  const range = make("input", { type: "range", id, min: 0, max: 100, step: 0.5, "data-key": key, "aria-describedby": note ? `${id}-note` : null,
    oninput: () => { one[field] = rounded(Math.min(high, of(Number(range.value)))); show(range); onInput(); }, onchange: () => onChange(), ondblclick: () => set(neutral) });
  const typed = make("input", { type: "number", class: "typed", min: low, max: high, step: "any", "aria-label": `${title}, value`,
    onchange: () => {
      const value = Number(typed.value);
      if (typed.value === "" || !Number.isFinite(value)) show();
      else set(Math.min(high, Math.max(low, value)));
    } });
  const node = make("div", { class: `fader ${one.mute ? "muted" : ""} ${one.solo ? "soloed" : ""}` },
    picture && make("span", { class: "frame" }, picture),
    make("label", { for: id }, make("b", {}, typeof name === "number" ? `#${name}` : name), note && make("span", { class: "quiet", id: `${id}-note` }, note)),
    make("span", { class: "track" }, range, make("i", { class: "mark", "aria-hidden": "true" })),
    make("span", { class: "number" }, typed, unit),
    make("span", { class: "keys-of" },
      onState && toggle("M", `Mute ${title}`, "mute"), onState && toggle("S", `Solo ${title}`, "solo"),
      make("button", { type: "button", class: "plain", "aria-label": `Reset ${title}`, title: "Reset", onclick: () => set(neutral) }, "↺"),
      onRemove && make("button", { type: "button", class: "plain", "aria-label": `Remove ${title}`, title: "Remove", onclick: onRemove }, "×")));
  node.style.setProperty("--neutral", at(neutral) / 100);

  function toggle(letter, label, what) {
    return make("button", { type: "button", class: `plain ${what}`, "aria-label": label, title: label, "aria-pressed": String(one[what]), "data-key": `${key}-${what}`, onclick: () => { one[what] = !one[what]; onState(); } }, letter);
  }

  function set(value) {
    one[field] = value;
    show();
    onChange();
  }

  function show(from = null) {
    if (from !== range) range.value = at(one[field]);
    typed.value = String(one[field]);
    range.setAttribute("aria-valuetext", `${one[field]}${unit === "×" ? " times" : ""}`);
  }

  node.show = show;
  show();
  return node;
}

// A whole number with its own steps: seeds.
export function spin({ label, value, low = 0, high = 2 ** 31 - 1, onChange }) {
  const input = make("input", { type: "number", min: low, max: high, step: 1, value, onchange: () => {
    const told = Number(input.value);
    if (input.value !== "" && Number.isInteger(told) && told >= low && told <= high) { node.last = told; onChange(told); } else input.value = node.last;
  } });
  const node = make("label", { class: "field spin" }, label, input);
  node.last = value;
  Object.defineProperty(node, "value", { get: () => Number(input.value), set: (told) => { input.value = node.last = told; } });
  return node;
}

// A choice of few, side by side; choices: [value, name, help].
export function radios({ legend, value, choices, onChange }) {
  const name = `radios-${++count}`;
  const inputs = choices.map(([one, text, help = ""]) => make("label", { class: "segment", title: help },
    make("input", { type: "radio", name, value: one, checked: one === value, onchange: () => onChange(one) }), make("span", {}, text)));
  const node = make("fieldset", { class: "segments" }, make("legend", { class: "unseen" }, legend), inputs);
  Object.defineProperty(node, "value", {
    get: () => node.querySelector(":checked")?.value ?? null,
    set: (told) => node.querySelectorAll("input").forEach((input) => { input.checked = input.value === told; }),
  });
  return node;
}

// Two pictures beside each other, while they are solved. photo(): what is shown before any.
export function pair({ left, right, lead = false, photo = () => null }) {
  const side = (title) => {
    const image = make("img", { alt: "", hidden: true }), blank = make("span", { class: "blank" });
    const bar = make("progress", { max: 1, value: 0, hidden: true, "aria-label": `${title}: steps` });
    const name = make("figcaption", {}, title);
    const node = make("figure", { class: "one-side" }, make("div", { class: "frame" }, image, blank), bar, name);
    return { node, image, blank, bar, name };
  };
  const sides = { left: side(left), right: side(right) };
  const node = make("div", { class: lead ? "pair lead" : "pair" }, sides.left.node, sides.right.node);
  node.sides = sides;
  node.frame = (which, url, alt, step = 0, steps = 0) => {
    const { image, blank, bar } = sides[which];
    image.src = url;
    image.alt = alt;
    image.hidden = false;
    blank.hidden = true;
    bar.hidden = !steps;
    if (steps) { bar.max = steps; bar.value = step; }
    const shape = photo();
    if (shape) for (const one of Object.values(sides)) one.image.parentNode.style.aspectRatio = `${shape.width} / ${shape.height}`;
  };
  node.blank = (text) => {
    for (const one of Object.values(sides)) { one.image.hidden = one.bar.hidden = true; one.blank.hidden = false; }
    sides.left.blank.textContent = text;
  };
  node.busy = (going) => {
    node.classList.toggle("solving", going);
    if (!going) for (const one of Object.values(sides)) one.bar.hidden = true;
  };
  return node;
}

// Sends one thing at a time, and of what comes meanwhile the last.
function newest(send) {
  let going = false, next = null, stopped = false;
  async function push(body) {
    if (stopped) return;
    if (going) { next = body; return; }
    going = true;
    try {
      await send(body);
    } finally {
      going = false;
      const following = next;
      next = null;
      if (following) push(following);
    }
  }
  push.stop = () => { stopped = true; next = null; };
  return push;
}

// `newest` of works: what the server refuses is told in the view's line.
export function asking(line, seen, sent = () => {}) {
  return newest(async (body) => {
    try {
      await work(body);
      sent();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      line.textContent = error.message;
      line.classList.add("error");
      seen.busy(false);
      say(error.message, true);
    }
  });
}

// The size that a view solves at, as it was chosen last in this browser.
export function remembered(view, sizes, usual) {
  const size = Number(window.texton.remember(`size-${view}`)); // of theme.js
  return sizes.includes(size) ? size : usual;
}
