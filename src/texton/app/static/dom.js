// Elements, and what is told to eyes and ears.
const SVG = new Set(["svg", "polyline", "line", "rect", "circle", "path", "g"]);
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "multiple", "selected"]);

// An element: functions are listeners (onclick), null and false attributes are left out; so are
// null and "" among what is in it.
export function make(tag, attributes = {}, ...content) {
  const made = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else if (PROPERTIES.has(key)) made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...content.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false && one !== ""));
  return made;
}

// A line that comes and goes; a mistake is read out at once and stays longer.
export function toast(text, kind = "note") {
  const box = document.getElementById(kind === "error" ? "alerts" : "notes");
  const line = make("p", { class: `toast ${kind}` }, text, make("button", { type: "button", class: "close", "aria-label": "Dismiss", onclick: () => line.remove() }, "×"));
  while (box.children.length > 2) box.firstChild.remove();
  box.append(line);
  setTimeout(() => line.remove(), kind === "error" ? 12000 : 5000);
}

let spoken = 0, waiting = null;

// For screen readers alone; of what changes quickly, the last is said, every few seconds.
export function say(text, soon = false) {
  const region = document.getElementById("said");
  clearTimeout(waiting);
  const wait = Math.max(0, spoken + (soon ? 600 : 5000) - performance.now());
  waiting = setTimeout(() => { spoken = performance.now(); region.textContent = text; }, wait);
}

// Arrow keys, Home and End among the children of a list: which one has the focus next, or null.
// Rows are as many as stand side by side.
export function next(event, items, columns = 1) {
  const at = items.indexOf(event.target.closest("[role=radio], [role=option]"));
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -4 * columns, PageDown: 4 * columns };
  if (event.ctrlKey || event.metaKey || event.altKey || at < 0) return null;
  let to = event.key === "Home" ? 0 : event.key === "End" ? items.length - 1 : event.key in steps ? at + steps[event.key] : NaN;
  if (Number.isNaN(to)) return null;
  event.preventDefault();
  to = Math.min(items.length - 1, Math.max(0, to));
  return items[to];
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// Runs when nothing more has come for a while.
export function settled(fn, wait) {
  let timer = null;
  return (...told) => { clearTimeout(timer); timer = setTimeout(() => fn(...told), wait); };
}

export const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
