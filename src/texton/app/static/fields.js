// The form of an option as its method declares it: kind, bounds, choices, help, default.
import { make } from "./dom.js";
import { photoPicker } from "./pick.js";

const NUMBERS = new Set(["int", "float"]);
let count = 0;

// A field: {name, node, changed, value, set(value), refuse(text), reset()}. Value is what the
// server is told; changed, whether it is not the default; it throws where it cannot be read.
export function optionField(option, house, onChange) {
  const id = `option-${++count}`;
  const help = make("p", { class: "help", id: `${id}-help` }, [option.help, bounds(option)].filter(Boolean).join(" "));
  const wrong = make("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  const control = (CONTROLS[option.kind] ?? CONTROLS.text)(option, id, house);
  const back = make("button", { type: "button", class: "back", hidden: true, "aria-label": `${option.label}: back to the default`, title: "Back to the default", onclick: () => { field.reset(); control.focus?.(); } }, "↺");
  const head = control.legend ? null : make("label", { for: id }, option.label, option.required && make("span", { class: "quiet" }, " (needed)"));
  const node = make("div", { class: `option ${option.kind}` }, make("div", { class: "head" }, head, back), control.node, help, wrong);
  for (const input of control.inputs) input.setAttribute("aria-describedby", `${id}-help ${id}-wrong`);

  const field = {
    name: option.name,
    node,
    stop: control.stop ?? (() => {}),
    get value() { return control.read(); },
    get changed() {
      const value = control.read();
      return value !== undefined && JSON.stringify(value ?? null) !== JSON.stringify(option.default ?? null);
    },
    set(value) { control.write(value); update(); },
    reset() { control.write(option.default ?? null); update(); },
    refuse(text) {
      wrong.textContent = text;
      wrong.hidden = !text;
      control.inputs.forEach((one) => one.setAttribute("aria-invalid", text ? "true" : "false"));
      if (text) control.inputs[0]?.focus();
    },
  };

  function update() {
    let changed = true;
    try { changed = field.changed; field.refuse(""); } catch { /* half written */ }
    back.hidden = !changed;
    node.classList.toggle("changed", changed);
    onChange(field);
  }

  node.addEventListener("input", update);
  node.addEventListener("change", update);
  control.listen?.(update);
  control.write(option.default ?? null);
  back.hidden = true;
  return field;
}

function bounds({ kind, low, high, above, unset, default: usual }) {
  if (!NUMBERS.has(kind) && !["ints", "floats", "factors"].includes(kind)) return "";
  const told = [];
  if (above !== null && above !== undefined) told.push(`more than ${plain(above)}`);
  if (low !== null && low !== undefined && high !== null && high !== undefined) told.push(`${plain(low)} to ${plain(high)}`);
  else if (low !== null && low !== undefined) told.push(`at least ${plain(low)}`);
  else if (high !== null && high !== undefined) told.push(`at most ${plain(high)}`);
  if (told.length === 0) return "";
  const text = told.join(", ");
  return `${text[0].toUpperCase()}${text.slice(1)}${unset && usual === null ? "; or nothing" : ""}.`;
}

const plain = (number) => Math.abs(number) >= 1e6 ? number.toExponential(0).replace("e+", "e") : String(number);

const CONTROLS = {
  bool(option, id) {
    if (option.unset) return choose(id, [["", "automatic"], ["true", "yes"], ["false", "no"]], (text) => text === "" ? null : text === "true", (value) => value === null ? "" : String(value));
    const input = make("input", { type: "checkbox", id, class: "switch" });
    return { node: input, inputs: [input], focus: () => input.focus(), read: () => input.checked, write: (value) => { input.checked = Boolean(value); } };
  },

  choice(option, id) {
    const choices = option.choices.map((one) => [one, one]);
    if (option.unset) choices.unshift(["", "automatic"]);
    return choose(id, choices, (text) => text === "" ? null : text, (value) => value ?? "");
  },

  int: number,
  float: number,

  text(option, id) {
    return written(id, option, (text) => text === "" && option.unset ? null : text, (value) => value ?? "", "text");
  },

  texts: (option, id) => written(id, option, (text) => list(text, option), (value) => (value ?? []).join(", "), "text"),
  ints: (option, id) => written(id, option, (text) => list(text, option)?.map((one) => numeral(one, true)) ?? null, (value) => (value ?? []).join(", "), "text"),
  floats: (option, id) => written(id, option, (text) => list(text, option)?.map((one) => numeral(one, false)) ?? null, (value) => (value ?? []).join(", "), "text"),

  factors(option, id) {
    const read = (text) => {
      const words = list(text, { unset: option.unset });
      return words && Object.fromEntries(words.map((word) => {
        const [channel, factor, more] = word.split("=");
        if (factor === undefined || more !== undefined) throw new Error(`'${word}' is no filter with its number: write 4=2, 17=0.5`);
        return [numeral(channel, true), numeral(factor, false)];
      }));
    };
    return written(id, option, read, (value) => Object.entries(value ?? {}).map(([key, one]) => `${key}=${one}`).join(", "), "text", "4=2, 17=0.5");
  },

  picture(option, id, house) {
    let tell = () => {};
    const picker = photoPicker({ house, legend: option.label, open: "Open a picture", none: option.unset || option.default === null ? "none" : "", onChange: () => tell() });
    return { node: picker, legend: true, inputs: [], stop: picker.stop, listen: (update) => { tell = update; }, read: () => picker.value ?? null, write: (value) => { picker.value = value ?? null; } };
  },

  pictures(option, id, house) {
    const picker = photoPicker({ house, legend: option.label, open: "Open a picture", none: "none", onChange: (id) => add(id) });
    const more = make("div", { class: "more choice" });
    let held = [], update = () => {};
    function add(photo) {
      if (photo && !held.includes(photo)) held = [...held, photo];
      picker.value = null;
      draw();
      update();
    }
    function draw() {
      more.replaceChildren(...held.map((id) => {
        const photo = house.photos.find((one) => one.id === id);
        return make("button", { type: "button", class: "plain", "aria-label": `Leave out ${photo?.name ?? id}`, onclick: () => { held = held.filter((one) => one !== id); draw(); update(); } }, `${photo?.name ?? id} ×`);
      }));
    }
    const node = make("div", {}, picker, more);
    return { node, legend: true, inputs: [], stop: picker.stop, listen: (told) => { update = told; }, read: () => held, write: (value) => { held = [...(value ?? [])]; draw(); } };
  },
};

function choose(id, choices, read, write) {
  const select = make("select", { id }, choices.map(([value, text]) => make("option", { value }, text)));
  return { node: select, inputs: [select], focus: () => select.focus(), read: () => read(select.value), write: (value) => { select.value = write(value); } };
}

function written(id, option, read, write, mode, placeholder = "") {
  const input = make("input", { type: "text", id, inputmode: mode, autocomplete: "off", spellcheck: "false", placeholder: placeholder || (option.unset && (option.default ?? null) === null ? "automatic" : "") });
  return { node: input, inputs: [input], focus: () => input.focus(), read: () => read(input.value.trim()), write: (value) => { input.value = write(value); } };
}

// A number; with two ends that are not far apart, a slider beside it.
function number(option, id) {
  const whole = option.kind === "int";
  const control = written(id, option, (text) => {
    if (text === "" && option.unset) return null;
    return numeral(text, whole);
  }, (value) => value ?? "", whole ? "numeric" : "decimal");
  const { low, high } = option;
  const ends = Number.isFinite(low ?? NaN) && Number.isFinite(high ?? NaN) && high - low <= 100;
  if (!ends) return control;
  const input = control.inputs[0];
  const drag = make("input", { type: "range", min: low, max: high, step: whole ? 1 : (high - low) / 200, tabindex: -1, "aria-hidden": "true", oninput: () => { input.value = whole ? drag.value : Number(Number(drag.value).toPrecision(4)); } });
  const follow = () => { drag.value = input.value === "" ? (low + high) / 2 : input.value; };
  input.addEventListener("input", follow);
  return { ...control, node: make("div", { class: "with-slider" }, input, drag), write: (value) => { control.write(value); follow(); } };
}

function list(text, { unset }) {
  const words = text.split(",").map((word) => word.trim()).filter(Boolean);
  return words.length === 0 && unset ? null : words;
}

function numeral(text, whole) {
  const value = Number(text);
  if (text === "" || !Number.isFinite(value) || (whole && !Number.isInteger(value))) {
    throw new Error(text === "" ? `A ${whole ? "whole " : ""}number is missing.` : `'${text}' is no ${whole ? "whole " : ""}number.`);
  }
  return value;
}
