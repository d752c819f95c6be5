// Style: a painting is dropped; one method paints, or two on one clock, side by side.
import { ENDED, cancelSlot, on, states, upload } from "./api.js";
import { make, say, toast } from "./dom.js";
import { asking, fader, pair, radios, remembered, spin } from "./faders.js";
import { networkSelect, photoPicker } from "./pick.js";
import { compareStage, copyRow, figureList, takesDrops } from "./widgets.js";

const SLOT = "style", SIZES = [96, 128, 192, 256, 384, 512, 768];
const SIDES = ["left", "right"];
const WEIGHTS = { content: "content_weight", style: "style_weight" };
const NAMES = { pmci: "PMCI", gatys: "Gatys", moments: "Moments" };
const COLOURS = { luma: "the photograph's, laid over it", statistics: "the photograph's, given to the painting" };
let kept = null; // as it was left for another view

export function mount(root, house) {
  const method = house.methods.find((one) => one.name === "stylize");
  if (!method) { root.append(make("p", { class: "blank" }, "This texton has no style transfer.")); return { unmount() {} }; }
  const option = (name) => method.options.find((one) => one.name === name) ?? null;
  const usual = (name, preset = now.preset) => usually(option(name), preset);
  const now = kept ?? (kept = fresh(house, option));
  Object.assign(now, { photo: house.chosen.photo, network: house.chosen.network });
  const asked = house.pending?.duel ?? null;
  if (asked) { house.pending = null; restore(now, asked, option, method.size); }
  const here = (id) => house.photos.some((one) => one.id === id);
  if (asked && !(here(now.photo) && (here(now.painting) || now.sides[0].model))) toast("Its photograph or painting is not here: drop it on the page again.", "error");
  if (!here(now.photo)) now.photo = house.chosen.photo;
  if (!here(now.painting)) now.painting = null;
  let painted = false;

  const content = photoPicker({ house, value: now.photo, legend: "Photograph", onChange: (id) => { house.chosen.photo = now.photo = id; again(); } });
  const painting = photoPicker({ house, value: now.painting, legend: "Painting", open: "Open a painting", none: "none yet", onChange: (id) => { now.painting = id; paint(); } });
  const size = make("select", { onchange: () => { now.size = Number(size.value); texton.remember("size-style", now.size); again(); } }, SIZES.map((one) => make("option", { value: one, selected: one === now.size }, `${one} pixels`)));
  const preset = make("select", { onchange: () => { prefer(preset.value); again(); } }, option("preset").choices.map((one) => make("option", { selected: one === now.preset }, one)));
  const seed = spin({ label: "Seed", value: now.seed, onChange: (value) => { now.seed = value; again(); } });
  const networks = networkSelect({ house, value: now.network, onChange: (name) => { house.chosen.network = now.network = name; again(); } });
  const layers = make("input", { type: "text", value: now.layers.join(","), onchange: () => { now.layers = layers.value.split(",").map((one) => one.trim()).filter(Boolean); show(); again(); } });
  const kept_layer = make("input", { type: "text", value: now.content_layer, onchange: () => { now.content_layer = kept_layer.value.trim(); again(); } });
  const count = radios({ legend: "How many at once", value: String(now.count), choices: [["1", "One method"], ["2", "Two side by side"]], onChange: (value) => { now.count = Number(value); show(); again(); } });
  const sides = make("div", { class: "style-sides" });
  const seen = pair({ left: "", right: "", photo: () => house.photos.find((one) => one.id === now.photo) });
  const line = make("p", { class: "state" });
  const stop = make("button", { type: "button", class: "plain", hidden: true, onclick: () => cancelSlot(SLOT) }, "Cancel");
  const button = make("button", { type: "button", class: "primary", onclick: () => paint() }, "Paint");
  const results = make("div", { class: "style-results" }), over = make("div", {});
  const push = asking(line, seen, () => { painted = true; });
  let done = {};

  root.classList.add("turning");
  root.append(
    make("div", { class: "desk-left" }, make("div", { class: "desk-seen" }, seen, make("div", { class: "states" }, line, stop)), make("div", { class: "desk-told" }, over, results)),
    make("div", { class: "desk-turned" },
      make("h1", {}, "In the style of a painting"), painting, content, count, sides,
      make("div", { class: "tools" }, button, make("label", { class: "field" }, "Long edge", size), make("label", { class: "field" }, "Steps", preset), seed),
      make("details", {}, make("summary", {}, "Network and layers"), make("div", { class: "tools" }, networks,
        make("label", { class: "field" }, "Content's layer", kept_layer), make("label", { class: "field wide" }, "Style's layers", layers)))));
  takesDrops(root, async ([file]) => {
    try { painting.value = now.painting = (await upload(file, house)).id; paint(); } catch (error) { toast(error.message, "error"); }
  });

  function show() {
    count.value = String(now.count);
    sides.replaceChildren(...now.sides.slice(0, now.count).map(column));
    sides.classList.toggle("two", now.count === 2);
    seen.sides.right.node.hidden = now.count === 1;
    SIDES.forEach((side, at) => { seen.sides[side].name.textContent = title(now.sides[at]); });
  }

  // A weight that was left as the preset has it is as the next one has it.
  function prefer(preset) {
    for (const side of now.sides) {
      for (const [field, name] of Object.entries(WEIGHTS)) if (side[field] === usual(name)) side[field] = usual(name, preset);
    }
    now.preset = preset;
    show();
  }

  const title = (side) => (side.model ? `${side.model}, at once` : NAMES[side.statistic] ?? side.statistic);

  function column(side, at) {
    const turned = { onInput: () => {}, onChange: () => again(), scale: "weight" };
    const which = radios({ legend: `Method${now.count === 2 ? `, ${SIDES[at]}` : ""}`, value: side.statistic, choices: option("statistic").choices.map((one) => [one, NAMES[one] ?? one]),
      onChange: (value) => { side.statistic = value; show(); again(); } });
    const models = option("model")?.choices ?? [];
    const model = models.length ? make("label", { class: "field" }, "Trained model, at once", make("select", { onchange: (event) => { side.model = event.target.value || null; show(); again(); } },
      make("option", { value: "" }, "none: solve"), models.map((one) => make("option", { value: one, selected: one === side.model }, one)))) : null;
    const ways = option("keep_colors");
    const colours = ways && make("label", { class: "field" }, "Colours", make("select", { title: ways.help, onchange: (event) => { side.keep_colors = event.target.value || null; again(); } },
      make("option", { value: "" }, "the painting's"), ways.choices.map((one) => make("option", { value: one, selected: one === side.keep_colors }, COLOURS[one] ?? one))));
    if (side.model) return make("section", { class: "style-side" }, model);
    return make("section", { class: "style-side", "aria-label": now.count === 2 ? `${SIDES[at]} side` : "Method" }, model, which,
      fader({ name: "Content", key: `content-${at}`, one: side, field: "content", neutral: usual(WEIGHTS.content), note: "how much of the photograph stays", ...turned }),
      fader({ name: "Style", key: `style-${at}`, one: side, field: "style", neutral: usual(WEIGHTS.style), note: "how much of the painting comes in", ...turned }),
      make("details", { open: now.open, ontoggle: (event) => { now.open = event.target.open; } }, make("summary", {}, "A weight per style layer"),
        now.layers.map((name) => fader({ name, key: `${name}-${at}`, one: weightOf(side, name), neutral: 1, ...turned }))),
      colours);
  }

  function weightOf(side, name) {
    if (!side.weights[name]) side.weights[name] = { value: 1 };
    return side.weights[name];
  }

  function body(side) {
    const options = side.model ? { model: side.model } : { styles: [now.painting], statistic: side.statistic, seed: now.seed, preset: now.preset };
    if (!side.model) {
      for (const [field, name] of Object.entries(WEIGHTS)) if (side[field] !== usual(name)) options[name] = side[field];
      if (side.keep_colors) options.keep_colors = side.keep_colors;
      if (now.content_layer !== option("content_layer").default) options.content_layer = now.content_layer;
      if (now.layers.join() !== option("style_layers").default.join()) options.style_layers = now.layers;
      const weights = now.layers.map((name) => weightOf(side, name).value);
      if (weights.some((one) => one !== 1)) options.layer_weights = weights;
    }
    return { method: "stylize", photo: now.photo, network: now.network, size: now.size, options };
  }

  const again = () => { if (painted) paint(); };

  function paint() {
    line.classList.remove("error");
    const every = now.sides.slice(0, now.count);
    if (!now.photo) { line.textContent = "Open or drop a photograph first."; return; }
    if (!now.painting && every.some((side) => !side.model)) { line.textContent = "Drop a painting first: anywhere here."; return; }
    done = {};
    over.replaceChildren();
    results.replaceChildren();
    line.textContent = "Asked for";
    seen.busy(true);
    push({ duel: { sides: every.map(body) }, slot: SLOT });
  }

  const ends = [
    on("work", SLOT, (told) => {
      if (told.state === "displaced") return; // another follows
      const going = !ENDED.has(told.state);
      stop.hidden = !going;
      seen.busy(going);
      line.classList.toggle("error", told.state === "failed");
      if (told.message) line.textContent = told.message;
      else if (told.state === "loading") line.textContent = "Looking at the painting";
      else if (told.state === "cancelled") line.textContent = "Cancelled";
      if (told.state === "failed") say(told.message, true);
    }),
    on("frame", SLOT, (frame) => {
      const side = frame.side ?? "left", at = SIDES.indexOf(side);
      seen.frame(side, frame.image, `${title(now.sides[at])}, at step ${frame.step}`, frame.step, frame.steps);
      seen.sides[side].name.textContent = `${title(now.sides[at])} · step ${frame.step} of ${frame.steps} · loss ${Number(frame.error).toFixed(2)}`;
      line.textContent = `${now.count === 2 ? "By turns, each for as long" : "Painting"} · ${frame.seconds.toFixed(1)} s`;
      say(`${title(now.sides[at])}, step ${frame.step} of ${frame.steps}`);
    }),
    on("picture", SLOT, ({ picture }) => {
      const side = picture.request?.duel?.side ?? "left", at = SIDES.indexOf(side), name = title(now.sides[at]);
      done[side] = picture;
      seen.frame(side, picture.url, picture.caption);
      seen.sides[side].name.textContent = `${name} · ${picture.seconds.toFixed(1)} s`;
      results[side === "left" ? "prepend" : "append"](make("section", {}, make("h2", {}, name), figureList(picture.figures), copyRow(`${name} as a command`, picture.command)));
      line.textContent = "Kept in the history";
      say(`${name}: done`, true);
      if (done.left && done.right) over.replaceChildren(make("h2", {}, "One over the other"), compareStage({ url: done.left.url, name: title(now.sides[0]) }, { url: done.right.url, name: title(now.sides[1]) }, done.left));
    }),
    () => { content.stop?.(); painting.stop?.(); },
  ];
  show();
  const known = states.get(SLOT);
  if (known?.frame) seen.frame(known.frame.side ?? "left", known.frame.image, "The last picture");
  else seen.blank(now.painting ? "" : "Drop a painting anywhere here.");
  return { unmount() {
    push.stop();
    ends.forEach((end) => end());
    cancelSlot(SLOT);
  } };
}

// What a number that is not set comes to with a preset.
const usually = ({ usual }, preset) => usual[preset] ?? usual[""];

function fresh(house, option) {
  const [preset] = option("preset").choices;
  const weight = (name) => usually(option(name), preset);
  const side = (statistic) => ({ statistic, model: null, content: weight(WEIGHTS.content), style: weight(WEIGHTS.style), weights: {}, keep_colors: null });
  return {
    photo: house.photos[0]?.id ?? null, painting: null, network: house.network, size: remembered("style", SIZES, 256), preset, seed: 0, count: 1, open: false,
    content_layer: option("content_layer").default, layers: [...option("style_layers").default],
    sides: option("statistic").choices.slice(0, 2).map(side),
  };
}

// A kept picture's request, as this view's own state.
function restore(now, asked, option, size) {
  const [first] = asked.sides;
  const told = first.options ?? {};
  Object.assign(now, {
    photo: first.photo, network: first.network ?? now.network, size: first.size ?? size, painting: told.styles?.[0] ?? now.painting, seed: told.seed ?? 0, preset: told.preset ?? option("preset").default,
    count: asked.sides.length, content_layer: told.content_layer ?? option("content_layer").default, layers: told.style_layers ?? [...option("style_layers").default],
  });
  asked.sides.forEach(({ options = {} }, at) => {
    const weights = Object.fromEntries((options.layer_weights ?? []).map((value, index) => [now.layers[index], { value }]));
    const weight = (name) => options[name] ?? usually(option(name), now.preset);
    now.sides[at] = { statistic: options.statistic ?? option("statistic").default, model: options.model ?? null, content: weight(WEIGHTS.content), style: weight(WEIGHTS.style), weights, keep_colors: options.keep_colors ?? null };
  });
}
