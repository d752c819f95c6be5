// Methods: every method as a form, made from what it declares; nothing here knows one by name.
import { calm, make, say, toast } from "./dom.js";
import { open, states } from "./api.js";
import { optionField } from "./fields.js";
import { liveView } from "./live.js";
import { layerPicker, networkSelect, photoPicker } from "./pick.js";
import { copyRow, dropZone } from "./widgets.js";

const SLOT = "methods";
const COMMON = 5; // an option that so many methods have is about how all of them solve

export function mount(root, house) {
  const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
  const pending = takePending(house);
  const wanted = pending?.method ?? query.get("method") ?? house.chosen.method;
  let method = house.methods.find((one) => one.name === wanted) ?? house.methods[0];
  let form = null;
  const tally = new Map();
  for (const one of house.methods) for (const option of one.options) tally.set(option.name, (tally.get(option.name) ?? 0) + 1);
  const common = (option) => tally.get(option.name) >= Math.min(COMMON, house.methods.length);

  const list = make("select", { class: "method-select", "aria-label": "Method", onchange: () => choose(list.value) }, house.methods.map((one) => make("option", { value: one.name }, one.name)));
  const menu = make("nav", { class: "menu", "aria-label": "Methods" }, house.methods.map((one) =>
    make("a", { href: `#methods?method=${encodeURIComponent(one.name)}`, "data-method": one.name, onclick: (event) => { event.preventDefault(); choose(one.name); } }, make("b", {}, one.name), make("span", {}, one.title))));
  const body = make("div", { class: "form-body" });
  const live = liveView({ slot: SLOT, empty: "What you ask for appears here while it is made.", onPicture: (picture) => result(picture), onRefused: (error) => form.refuse(error) });
  const after = make("div");
  const panel = make("section", { class: "panel open", "aria-label": "The picture" }, live, after);
  const drop = dropZone({ label: "Open a picture that texton saved", hint: "its settings come back", accept: "image/png", onFiles: ([file]) => reopen(file, house).then((moved) => { if (!moved) take(takePending(house)); }) });
  root.append(make("h1", { class: "unseen" }, "Methods"), make("div", { class: "choose" }, menu, list, drop), body, panel);

  function choose(name, request = null) {
    method = house.methods.find((one) => one.name === name) ?? method;
    house.chosen.method = method.name;
    list.value = method.name;
    menu.querySelectorAll("a").forEach((one) => one.dataset.method === method.name ? one.setAttribute("aria-current", "true") : one.removeAttribute("aria-current"));
    history.replaceState(null, "", `#methods?method=${encodeURIComponent(method.name)}`);
    form?.stop();
    form = methodForm(method, house, common, request, (told) => {
      after.replaceChildren();
      live.clear("");
      live.plot.measure = method.figures.includes("error") ? "error" : "objective";
      live.start(told, method.name);
      if (panel.getBoundingClientRect().top > innerHeight - 160) panel.scrollIntoView({ behavior: calm() ? "auto" : "smooth", block: "start" });
    });
    body.replaceChildren(form.node);
  }

  function result(picture) {
    after.replaceChildren(saving(picture), copyRow("Again as a command", picture.command), copyRow("Again in Python", picture.python));
  }

  function take(request) {
    if (!request) return;
    choose(request.method, request);
    say(`The settings of ${request.method} are in the form`, true);
  }

  choose(method.name, pending);
  if (live.recall(method.name) && states.get(SLOT).picture) result(states.get(SLOT).picture);
  return { unmount() { live.stop(); form.stop(); } };
}

function takePending(house) {
  const { pending } = house;
  house.pending = null;
  return pending?.method ? pending : null;
}

// The view that a request belongs to.
export const viewOf = (request) => request.desk ? "#desk" : request.duel ? "#style" : "#methods";

// A saved picture's settings: to the view that they belong to. Whether another view opens.
export async function reopen(file, house) {
  let told;
  try {
    told = await open(file);
  } catch (error) {
    toast(error.message, "error");
    return false;
  }
  house.pending = told.request;
  const lost = told.missing === "photo";
  toast(lost ? "Its settings are here; its photograph is not: open that as well." : `The settings of ${file.name} are back.`);
  const hash = viewOf(told.request);
  const moved = location.hash.split("?")[0] !== hash;
  if (moved) location.hash = hash;
  return moved;
}

export function saving(picture) {
  const name = `${picture.method}${picture.unit?.layer ? `-${picture.unit.layer}` : ""}${Number.isInteger(picture.unit?.channel) ? `-${picture.unit.channel}` : ""}.png`;
  return make("p", { class: "saving" }, make("a", { class: "button", href: `/api/pictures/${picture.id}.png`, download: name }, "Save PNG"),
    (picture.beside ?? []).map((url) => make("a", { class: "button", href: url, download: "" }, `Save ${url.split("?")[0].split(".").at(-1)}`)), make("a", { class: "button", href: "#history" }, "History"));
}

// {node, refuse(error), stop()}; onMake(body of the request).
function methodForm(method, house, common, request, onMake) {
  const { chosen } = house, axes = new Set(method.axes);
  const known = (id) => house.photos.some((one) => one.id === id);
  if (request) {
    chosen.photo = known(request.photo) ? request.photo : chosen.photo;
    chosen.network = request.network ?? chosen.network;
    chosen.layer = request.layer ?? chosen.layer;
  }
  const photos = axes.has("photo") ? photoPicker({ house, value: chosen.photo, onChange: (id) => { chosen.photo = id; } }) : null;
  const networks = networkSelect({ house, value: chosen.network, onChange: (name) => { chosen.network = name; draw(); } });
  const channel = make("input", { type: "number", min: 0, step: 1, id: "channel", value: request ? request.channel ?? "" : chosen.filter ?? 0, "aria-describedby": "channel-help" });
  const channelHelp = make("p", { class: "help", id: "channel-help" });
  const filters = make("label", { class: "field" }, "Filter", channel);
  const layers = axes.has("layer") ? layerPicker({ onChange: (layer) => { chosen.layer = layer.name; bound(); } }) : null;
  const source = method.takes_pictures ? photoPicker({ house, value: request?.photo ?? null, legend: "Picture", open: "Open a picture", none: "none: of a filter", onChange: () => sourced() }) : null;
  const size = method.size ? make("input", { type: "number", min: house.limits.size[0], max: house.limits.size[1], step: 1, id: "size", value: request?.size ?? Math.min(method.size, 128) }) : null;
  const fields = method.options.map((option) => optionField(option, house, count));
  const own = fields.filter((_, at) => !common(method.options[at])), shared = fields.filter((_, at) => common(method.options[at]));
  const tally = make("span", { class: "quiet" });
  const submit = make("button", { class: "primary" }, "Make it");
  const details = make("details", { class: "common" }, make("summary", {}, "How it is solved"), make("div", { class: "options" }, shared.map((one) => one.node)));
  const node = make("form", { novalidate: true, class: "method-form", onsubmit: send },
    make("h2", {}, method.title), method.about && make("p", { class: "quiet lead" }, method.about),
    photos, source, make("div", { class: "tools" }, networks,
      axes.has("channel") && filters,
      size && make("label", { class: "field" }, "Long edge", size)), axes.has("channel") && channelHelp,
    layers,
    own.length > 0 && make("div", { class: "options" }, own.map((one) => one.node)),
    shared.length > 0 && details,
    make("div", { class: "send" }, submit, make("button", { type: "button", class: "plain", onclick: () => fields.forEach((one) => one.reset()) }, "All defaults"), tally));

  for (const [name, value] of Object.entries(request?.options ?? {})) fields.find((one) => one.name === name)?.set(value);
  if (shared.some((one) => safely(() => one.changed))) details.open = true;
  sourced();
  draw();
  count();

  // Of a picture there is no filter to choose.
  function sourced() {
    for (const one of [filters, channelHelp, layers]) if (one) one.hidden = Boolean(source?.value);
  }

  function bound() {
    const layer = layers?.layer;
    if (!layer) return;
    channel.max = layer.channels - 1;
    channelHelp.textContent = `0 to ${layer.channels - 1} in ${layer.name}${method.names_units ? "; empty where an option says which" : ""}`;
  }

  async function draw() {
    const layer = layers && await layers.show(chosen.network, chosen.layer);
    if (!layer) return;
    chosen.layer = layer.name;
    bound();
  }

  function count() {
    const changed = fields ? fields.filter((one) => safely(() => one.changed)).length : 0;
    tally.textContent = changed ? `${changed} changed` : "as the method has it";
  }

  function options() {
    const told = {};
    for (const one of fields) {
      try {
        if (one.changed) told[one.name] = one.value;
      } catch (error) {
        reveal(one);
        one.refuse(error.message);
        return null;
      }
    }
    return told;
  }

  function reveal(field) {
    if (details.contains(field.node)) details.open = true;
  }

  function send(event) {
    event.preventDefault();
    fields.forEach((one) => one.refuse(""));
    const told = options();
    if (!told) return;
    if (axes.has("photo") && !chosen.photo) { toast("Open a photograph first.", "error"); return; }
    const of = source?.value ?? null;
    onMake({
      method: method.name, network: chosen.network, options: told,
      photo: axes.has("photo") ? chosen.photo : of,
      layer: axes.has("layer") && !of ? chosen.layer : null,
      channel: axes.has("channel") && !of && channel.value !== "" ? Number(channel.value) : null,
      size: size && size.value ? Number(size.value) : null,
    });
  }

  return {
    node,
    refuse(error) {
      const field = fields.find((one) => one.name === error.option);
      if (!field) { toast(error.message, "error"); return; }
      reveal(field);
      field.refuse(error.message);
      say(error.message, true);
    },
    stop() { photos?.stop(); source?.stop(); fields.forEach((one) => one.stop()); },
  };
}

function safely(fn) {
  try { return fn(); } catch { return true; }
}
