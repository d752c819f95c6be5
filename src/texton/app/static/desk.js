// The mixing desk: filters' energies as faders; the picture follows the hand, and what is let go of
// is solved anew as its command solves it, and kept.
import { ENDED, cancelSlot, maps as mapsOf, on } from "./api.js";
import { make, say, toast } from "./dom.js";
import { layerPicker, networkSelect, photoPicker } from "./pick.js";
import { copyRow, figureList } from "./widgets.js";
import { asking, fader, pair, radios, remembered, spin } from "./faders.js";

const SLOT = "desk", STRIPS = 8, SIZES = [64, 96, 128, 160, 224, 320];
const board = Math.random().toString(36).slice(2, 12);

const fresh = (house) => ({
  photo: house.photos[0]?.id ?? null, network: house.network, layer: null, size: remembered("desk", SIZES, 128), mode: "mix", keep: true,
  strips: new Map(), others: { value: 1, mute: false, solo: false }, style: { shares_seed: 1, spread: 1 }, blend: new Map(), preset: "normal", seed: 0,
});
let kept = null; // the desk as it was left for another view

export function mount(root, house) {
  const now = kept ?? (kept = fresh(house));
  choose(now, house.chosen);
  const asked = house.pending?.desk ?? null;
  if (asked) house.pending = null;
  if (asked) restore(now, asked);
  if (now.photo && !house.photos.some((one) => one.id === now.photo)) {
    toast("Its photograph is not here: drop it on the page again.", "error");
    now.photo = house.chosen.photo;
  }

  let maps = null, loading = null, gone = false, owed = false; // owed: let go of while maps were asked for
  const picker = photoPicker({ house, value: now.photo, onChange: (id) => { house.chosen.photo = now.photo = id; another(); } });
  const networks = networkSelect({ house, value: now.network, onChange: (name) => { house.chosen.network = now.network = name; another(true); } });
  const layers = layerPicker({ onChange: (layer) => { house.chosen.layer = now.layer = layer.name; another(true); } });
  const size = make("select", { onchange: () => { now.size = Number(size.value); texton.remember("size-desk", now.size); another(); } }, SIZES.map((one) => make("option", { value: one, selected: one === now.size }, `${one} pixels`)));
  const modes = radios({ legend: "What is turned", value: now.mode, onChange: (mode) => { now.mode = mode; show(); send(true); },
    choices: [["mix", "Mix", "Every filter's energy, up and down"], ["random", "Random style", "Energy dealt out by chance"], ["blend", "Blend", "Nothing but some filters' textures"]] });
  const strips = make("div", { class: "strips" });
  const seen = pair({ lead: true, left: "As you turn", right: "Kept", photo: () => house.photos.find((one) => one.id === now.photo) });
  const keeps = make("input", { type: "checkbox", checked: now.keep, onchange: () => { now.keep = keeps.checked; if (now.keep) send(true); } });
  const preset = make("select", { onchange: () => { now.preset = preset.value; send(true); } }, ["fast", "normal", "fine"].map((one) => make("option", { selected: one === now.preset }, one)));
  const seed = spin({ label: "Seed", value: now.seed, onChange: (value) => { now.seed = value; send(true); } });
  const stop = make("button", { type: "button", class: "plain", hidden: true, onclick: () => cancelSlot(SLOT) }, "Cancel");
  const line = make("p", { class: "state" }, "");
  const told = make("div", { class: "desk-told" });
  const push = asking(line, seen);

  root.classList.add("turning");
  root.append(
    make("div", { class: "desk-left" }, make("div", { class: "desk-seen" }, seen, make("div", { class: "states" }, line, stop)), told),
    make("div", { class: "desk-turned" },
      make("h1", {}, "The mixing desk"), modes, strips,
      make("div", { class: "tools" }, make("label", { class: "check" }, keeps, " Keep what is let go of"), make("label", { class: "field" }, "Steps", preset), seed,
        make("label", { class: "field" }, "Long edge", size)),
      make("p", { class: "quiet" }, "While you turn, the picture is solved on from where it is. Let go, and it is solved anew from the seed's noise, as its command solves it: that one is kept."),
      make("details", { open: !now.photo }, make("summary", {}, "Photograph, network and layer"), picker, make("div", { class: "tools" }, networks), layers)));

  // Which filters are strong here: asked for when the photograph, the network or the layer changes.
  async function another(forget = false) {
    if (forget) { now.strips.clear(); now.blend.clear(); now.others = { value: 1, mute: false, solo: false }; }
    loading?.abort();
    const mine = loading = new AbortController();
    if (!now.photo) { loading = null; seen.blank("Open or drop a photograph first."); strips.replaceChildren(); return; }
    const layer = layers.layer?.name === now.layer && layers.shows === now.network ? layers.layer : await layers.show(now.network, now.layer);
    if (gone || loading !== mine) return;
    if (!layer) { loading = null; return; }
    layers.shows = now.network;
    now.layer = layer.name;
    line.textContent = `Listening to ${layer.name}`;
    try {
      maps = await mapsOf({ photo: now.photo, network: now.network, layer: now.layer, size: now.size }, mine.signal);
    } catch (error) {
      if (error.name !== "AbortError") { loading = null; line.textContent = error.message; line.classList.add("error"); }
      return;
    }
    if (gone || loading !== mine) return;
    loading = null;
    line.textContent = "";
    const strong = [...maps.energies.keys()].sort((a, b) => maps.energies[b] - maps.energies[a]);
    if (!now.strips.size) strong.slice(0, STRIPS).forEach((channel) => now.strips.set(channel, { value: 1, mute: false, solo: false }));
    if (!now.blend.size) strong.slice(0, 2).forEach((channel) => now.blend.set(channel, { value: 0.5, mute: false, solo: false }));
    show();
    send(owed);
  }

  function show() {
    modes.value = now.mode;
    const focused = document.activeElement?.dataset?.key;
    if (!maps) return;
    if (now.mode === "random") strips.replaceChildren(...randomly());
    else strips.replaceChildren(...(now.mode === "mix" ? mixing() : blending()));
    if (focused) strips.querySelector(`[data-key="${focused}"]`)?.focus();
  }

  const strip = (channel, one, among, more) => fader({
    name: channel, key: `${now.mode}-${channel}`, one, ...more,
    picture: thumbnail(channel), note: `${(100 * maps.energies[channel] / total()).toFixed(1)} %`,
    onInput: () => send(false), onChange: () => send(true), onState: () => { show(); send(true); },
    onRemove: () => { among.delete(channel); show(); send(true); },
  });

  const total = () => maps.energies.reduce((sum, one) => sum + one, 0) || 1;

  function mixing() {
    return [
      ...[...now.strips].map(([channel, one]) => strip(channel, one, now.strips, { scale: "log", neutral: 1 })),
      fader({ name: "All others", key: "mix-others", one: now.others, scale: "log", neutral: 1, note: `${maps.channels - now.strips.size} filters`,
        onInput: () => send(false), onChange: () => send(true), onState: () => { show(); send(true); } }),
      add(now.strips, 1),
    ];
  }

  function blending() {
    return [...[...now.blend].map(([channel, one]) => strip(channel, one, now.blend, { scale: "share", neutral: 0.5 })), add(now.blend, 0.5)];
  }

  function randomly() {
    const number = spin({ label: "Random style", value: now.style.shares_seed, onChange: (value) => { now.style.shares_seed = value; send(true); } });
    const dice = make("button", { type: "button", class: "plain", onclick: () => { number.value = now.style.shares_seed = Math.floor(Math.random() * 100000); send(true); } }, "Another style");
    const spread = fader({ name: "Spread", key: "random-spread", scale: "spread", neutral: 1, one: now.style, field: "spread", note: "0 even, 1 half-normal, more: few carry most", onInput: () => send(false), onChange: () => send(true) });
    return [make("div", { class: "tools" }, number, dice), spread];
  }

  function add(among, value) {
    const input = make("input", { type: "number", min: 0, max: maps.channels - 1, step: 1, placeholder: `0–${maps.channels - 1}`, "aria-label": `Add a filter, 0 to ${maps.channels - 1}` });
    const enter = () => {
      const channel = Number(input.value);
      if (input.value === "" || !Number.isInteger(channel) || channel < 0 || channel >= maps.channels) { toast(`There is no filter ${input.value || "of no number"}: ${now.layer} has 0 to ${maps.channels - 1}`, "error"); return; }
      if (!among.has(channel)) among.set(channel, { value, mute: false, solo: false });
      show();
      strips.querySelector(`[data-key="${now.mode}-${channel}"]`)?.focus();
      send(true);
    };
    input.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); enter(); } });
    return make("div", { class: "tools strip-tools" }, make("label", { class: "field" }, "Add a filter", input), make("button", { type: "button", class: "plain", onclick: enter }, "Add"),
      make("button", { type: "button", class: "plain", onclick: reset }, "Reset all"));
  }

  function reset() {
    const value = now.mode === "mix" ? 1 : 0.5;
    for (const one of now.mode === "mix" ? [...now.strips.values(), now.others] : now.blend.values()) Object.assign(one, { value, mute: false, solo: false });
    show();
    send(true);
  }

  function thumbnail(channel) {
    const canvas = make("canvas", { width: maps.columns, height: maps.rows, "aria-hidden": "true" });
    const pixels = new ImageData(maps.columns, maps.rows), first = channel * maps.rows * maps.columns;
    for (let at = 0; at < maps.rows * maps.columns; at += 1) pixels.data.set([255, 255, 255, maps.bytes[first + at]], 4 * at);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas;
  }

  // What a fader comes to beside the others: a muted one, or one beside a solo, is silent.
  const heard = (one, every) => (one.mute || (every.some((other) => other.solo) && !one.solo) ? 0 : one.value);

  function options() {
    const common = { seed: now.seed, preset: now.preset };
    if (now.mode === "random") return ["invert", { modify: "random", ...now.style, ...common }];
    if (now.mode === "blend") {
      const every = [...now.blend.values()];
      const direction = Object.fromEntries([...now.blend].map(([channel, one]) => [channel, heard(one, every)]).filter(([, share]) => share > 0));
      return Object.keys(direction).length ? ["filter", { direction, ...common }] : null;
    }
    const every = [...now.strips.values(), now.others], rest = heard(now.others, every), energy = {};
    for (let channel = 0; channel < maps.channels; channel += 1) {
      const factor = now.strips.has(channel) ? heard(now.strips.get(channel), every) : rest;
      if (factor !== 1) energy[channel] = factor;
    }
    if (Object.values(energy).length === maps.channels && Object.values(energy).every((one) => one === 0)) return null;
    return Object.keys(energy).length ? ["mix", { energy, ...common }] : ["invert", common];
  }

  function send(released) {
    owed = loading ? owed || released : false;
    if (loading || !maps || !now.photo) return;
    const asked = options();
    line.classList.remove("error");
    if (!asked) { line.textContent = "Everything is silent: turn a filter up."; return; }
    const [method, told] = asked;
    const keep = released && now.keep;
    seen.busy(true);
    push({ desk: { board, photo: now.photo, network: now.network, layer: now.layer, size: now.size, method, options: told, keep }, slot: SLOT });
  }

  const ends = [
    on("work", SLOT, (state) => {
      if (state.state === "displaced" || state.message.startsWith("stopping")) return; // another follows
      const going = !ENDED.has(state.state);
      stop.hidden = !going;
      seen.busy(going);
      if (state.state === "failed") { line.textContent = state.message; line.classList.add("error"); say(state.message, true); }
      else if (state.message) line.textContent = state.message;
      else if (state.state === "done") line.textContent = line.dataset.step ?? "";
    }),
    on("frame", SLOT, (frame) => {
      const side = frame.side === "right" ? "right" : "left";
      line.classList.remove("error");
      line.textContent = `${side === "right" ? "Solving what is kept" : "Following"}: step ${frame.step} of ${frame.steps} · error ${Number(frame.error).toFixed(3)}`;
      line.dataset.step = line.textContent;
      seen.frame(side, frame.image, `${side === "right" ? "What is kept" : "The picture as you turn"}, at step ${frame.step}`, frame.step, frame.steps);
      say(line.textContent);
    }),
    on("picture", SLOT, ({ picture }) => {
      seen.frame("right", picture.url, picture.caption);
      told.replaceChildren(figureList(picture.figures), copyRow("As a command", picture.command));
      line.dataset.step = `Kept in the history · ${picture.width} × ${picture.height} pixels · ${picture.seconds.toFixed(1)} s`;
      line.textContent = line.dataset.step;
      say(`Kept: ${picture.caption}`, true);
    }),
    () => picker.stop?.(),
  ];
  another();
  return { unmount() {
    gone = true;
    loading?.abort();
    push.stop();
    ends.forEach((end) => end());
    cancelSlot(SLOT);
  } };
}

// What was chosen in another view is what is turned here; other filters are strong there.
function choose(now, chosen) {
  const other = chosen.network !== now.network || (chosen.layer && chosen.layer !== now.layer);
  Object.assign(now, { photo: chosen.photo, network: chosen.network, layer: chosen.layer ?? now.layer });
  if (!other) return;
  now.strips.clear();
  now.blend.clear();
}

// A kept picture's request, as the desk's own state.
function restore(now, asked) {
  Object.assign(now, { photo: asked.photo, network: asked.network, layer: asked.layer, size: asked.size ?? 128, seed: asked.options.seed ?? 0, preset: asked.options.preset ?? "normal" });
  const strip = (value) => ({ value, mute: false, solo: false });
  const each = (told) => new Map(Object.entries(told ?? {}).map(([channel, value]) => [Number(channel), strip(value)]));
  now.mode = asked.method === "filter" ? "blend" : asked.options.modify === "random" ? "random" : "mix";
  if (now.mode === "random") now.style = { shares_seed: asked.options.shares_seed ?? asked.options.seed ?? 0, spread: asked.options.spread ?? 1 };
  if (now.mode === "blend") now.blend = each(asked.options.direction);
  if (now.mode !== "mix") return;
  const energy = each(asked.options.energy);
  now.others = strip(1);
  if (energy.size > 32) { // most of the layer: those that differ stand alone
    const counted = new Map();
    for (const { value } of energy.values()) counted.set(value, (counted.get(value) ?? 0) + 1);
    const [common] = [...counted].sort((a, b) => b[1] - a[1])[0];
    now.others = strip(common);
    for (const [channel, { value }] of [...energy]) if (value === common) energy.delete(channel);
  }
  now.strips = energy;
}
