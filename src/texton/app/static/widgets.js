// Parts that views are made of. Each is an element, with what changes it as properties.
import { make, say } from "./dom.js";

// Chooses files, or takes what is dropped; onFiles([File]).
export function dropZone({ label, hint = "", accept = "image/*", onFiles }) {
  const input = make("input", {
    type: "file", class: "unseen", accept,
    onchange: () => { const files = [...input.files]; input.value = ""; if (files.length) onFiles(files); },
  });
  const node = make("label", { class: "drop" }, input, make("span", {}, label), hint && make("span", { class: "quiet" }, hint));
  return takesDrops(node, (files) => onFiles(files.slice(0, 1)));
}

// Lets files be dropped on an element.
export function takesDrops(node, onFiles) {
  let depth = 0;
  const over = (change) => { depth = Math.max(0, depth + change); node.classList.toggle("over", depth > 0); };
  const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  node.addEventListener("dragenter", (event) => { if (carriesFiles(event)) { event.preventDefault(); over(1); } });
  node.addEventListener("dragleave", (event) => { if (carriesFiles(event)) over(-1); });
  node.addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
  node.addEventListener("drop", (event) => {
    over(-depth);
    if (!carriesFiles(event) || event.defaultPrevented) return; // taken by what lies inside
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    if (files.length) onFiles(files);
  });
  return node;
}

// Two pictures, one over the other; the slider says how much of which is seen. Sides: {url, name}.
export function compareStage(left, right, { width, height }) {
  const input = make("input", { type: "range", min: 0, max: 100, step: 0.5, "aria-label": `How much of the left picture, ${left.name}, is seen over ${right.name}, in percent` });
  const node = make("div", { class: "stage" }, make("img", { src: left.url, alt: left.name }), make("img", { src: right.url, alt: right.name }), make("span", { class: "handle", "aria-hidden": "true" }), input);
  node.style.setProperty("--shape", width / height);
  node.style.aspectRatio = `${width} / ${height}`;
  const slide = () => node.style.setProperty("--at", `${input.value}%`);
  input.addEventListener("input", slide);
  input.value = 50;
  slide();
  return node;
}

// Error and achieved over steps. node.add(step, error, achieved), node.clear(); node.measure is
// what the error is called.
export function linePlot(label = "Error, and how much is achieved, over the steps") {
  const W = 300, H = 84;
  const lines = { error: make("polyline", { class: "error" }), achieved: make("polyline", { class: "achieved" }) };
  const svg = make("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    make("line", { x1: 0, x2: W, y1: H - 0.5, y2: H - 0.5 }), lines.error, lines.achieved);
  const told = { error: make("span"), achieved: make("span") };
  const node = make("div", { class: "plot", hidden: true }, svg, make("p", { class: "key" }, told.error, told.achieved));
  let points = [];
  node.measure = "error";

  function draw() {
    const last = points.at(-1), first = points[0].step, reach = Math.max(1, last.step - first);
    const most = Math.max(0.01, ...points.map((one) => one.achieved).filter(Number.isFinite));
    const errors = points.map((one) => one.error).filter(Number.isFinite);
    const low = Math.min(...errors), span = Math.max(Math.max(...errors) - low, 1e-9);
    const at = (one, share) => `${(W * (one.step - first) / reach).toFixed(1)},${(H - 4 - (H - 8) * share).toFixed(1)}`;
    lines.error.setAttribute("points", points.filter((one) => Number.isFinite(one.error)).map((one) => at(one, (one.error - low) / span)).join(" "));
    lines.achieved.setAttribute("points", points.filter((one) => Number.isFinite(one.achieved)).map((one) => at(one, one.achieved / most)).join(" "));
    told.error.textContent = Number.isFinite(last.error) ? `${node.measure} ${brief(last.error)}` : "";
    told.achieved.textContent = Number.isFinite(last.achieved) ? `achieved ${(100 * last.achieved).toFixed(1)} %` : "";
  }

  node.add = (step, error, achieved) => {
    if (points.length && step <= points.at(-1).step) points = points.filter((one) => one.step < step);
    points.push({ step, error: error ?? NaN, achieved: achieved ?? NaN });
    if (points.length > 600) points = points.filter((_, index) => index % 2 || index === points.length - 1);
    node.hidden = points.length < 2;
    draw();
  };
  node.clear = () => { points = []; node.hidden = true; };
  return node;
}

// A number in few characters.
export function brief(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(1) : size >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

// A text to take away: a command, a few lines of Python.
export function copyRow(name, text) {
  const button = make("button", { type: "button", class: "plain", "aria-label": `Copy: ${name}` }, "Copy");
  const code = make("code", {}, text);
  button.addEventListener("click", async () => {
    let copied = false;
    try {
      await navigator.clipboard.writeText(text);
      copied = true;
    } catch {
      getSelection().selectAllChildren(code); // without the right to copy: selected, for the user to
      copied = document.execCommand("copy");
    }
    button.textContent = copied ? "Copied" : "Selected";
    say(copied ? `${name}: copied` : `${name}: selected`, true);
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
  return make("div", { class: "copies" }, make("h3", {}, name),
    make("div", { class: "command" }, make("pre", { tabindex: 0, role: "region", "aria-label": name }, code), button));
}

// Figures of a picture, as people read them.
export function figureList(figures) {
  return make("dl", { class: "figures" }, figures.map((one) => [make("dt", {}, one.label), make("dd", {}, one.text)]));
}
