// A picture while it is solved, and what became of it: of one slot.
import { ENDED, Refused, cancelSlot, on, states, work } from "./api.js";
import { make, say } from "./dom.js";
import { figureList, linePlot } from "./widgets.js";

// node.start(body) asks for a work in the slot; node.show(picture) shows one that is there;
// node.clear(text). onPicture(picture) is told of results, onRefused(error) of mistakes,
// onCancel() of a click on Cancel.
export function liveView({ slot, empty = "", onPicture = () => {}, onRefused = null, onCancel = () => {}, plot: plotted = true }) {
  const image = make("img", { alt: "", hidden: true });
  const blank = make("p", { class: "blank" }, empty);
  const frame = make("div", { class: "frame" }, image, blank);
  const bar = make("progress", { max: 1, value: 0, "aria-label": "Progress", hidden: true });
  const state = make("p", { class: "state" });
  const stop = make("button", { type: "button", class: "plain", hidden: true, onclick: () => { cancelSlot(slot); onCancel(); } }, "Cancel");
  const plot = linePlot();
  const figures = make("div");
  const node = make("div", { class: "live" }, frame, bar, make("div", { class: "states" }, state, stop), plotted && plot, figures);
  node.frame = frame;
  node.plot = plot;
  let named = "", begun = null;

  function busy(going) {
    node.classList.toggle("solving", going);
    stop.hidden = !going;
    bar.hidden = !going;
  }

  function see(url, alt) {
    image.src = url;
    image.alt = alt;
    image.hidden = false;
    blank.hidden = true;
  }

  function hear(told) {
    if (told.id !== begun) {
      if (ENDED.has(told.state)) return; // over before this page was opened
      begun = told.id;
      plot.clear();
      figures.replaceChildren();
      state.classList.remove("error");
    }
    busy(!ENDED.has(told.state));
    if (told.state === "queued") { bar.removeAttribute("value"); line(told.message || (told.position ? `Waiting: ${told.position} before it` : "Waiting for its turn")); }
    if (told.state === "loading") { bar.removeAttribute("value"); line(told.message || "Loading"); }
    if (told.state === "solving") line(told.message || "Solving");
    if (told.state === "done" && told.message) line(told.message);
    if (told.state === "failed") fail(told.message || "It failed.");
    if (told.state === "cancelled" || told.state === "displaced") line(["Cancelled", told.message].filter(Boolean).join(" · "));
    if (told.state !== "done") say(`${named} ${state.textContent}`, ENDED.has(told.state));
  }

  function line(text) {
    state.textContent = text;
  }

  function fail(text) {
    busy(false);
    line(text);
    state.classList.add("error");
    say(text, true);
  }

  function watch(told) {
    if (told.side || told.id !== begun) return;
    if (told.image) see(told.image, `${named || "The picture"}, at step ${told.step}`);
    if (told.steps) { bar.max = told.steps; bar.value = told.step; }
    line(`Step ${told.step}${told.steps ? ` of ${told.steps}` : ""} · ${told.seconds.toFixed(1)} s`);
    plot.add(told.step, told.error, told.achieved);
    say(`${named} step ${told.step}${told.steps ? ` of ${told.steps}` : ""}${Number.isFinite(told.achieved) ? `, ${Math.round(100 * told.achieved)} percent achieved` : ""}`);
  }

  node.show = (picture) => {
    busy(false);
    state.classList.remove("error");
    see(picture.url, picture.caption);
    const dead = picture.status && picture.status !== "ok" ? ` · ${picture.status}` : "";
    line(`${picture.width} × ${picture.height} pixels · solved in ${picture.seconds.toFixed(1)} s${dead}`);
    figures.replaceChildren(figureList(picture.figures));
  };

  node.clear = (text = empty) => {
    busy(false);
    begun = null;
    image.hidden = true;
    blank.hidden = false;
    blank.textContent = text;
    line("");
    plot.clear();
    figures.replaceChildren();
    state.classList.remove("error");
  };

  // The body's slot is this view's; name is what screen readers hear.
  node.start = async (body, name = "") => {
    named = name;
    state.classList.remove("error");
    line("Asked for");
    try {
      return (await work({ ...body, slot })).id;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (onRefused && error.option) { line(""); onRefused(error); } else fail(error.message);
      return null;
    }
  };

  // The slot's last work, as when its view was left and is back: whether there is anything to see.
  node.recall = (name = "") => {
    const known = states.get(slot);
    if (!known) return false;
    const over = ENDED.has(known.work.state);
    if (over && !known.picture && known.work.state !== "failed") return false;
    named = name;
    begun = known.work.id;
    plot.clear();
    known.points.forEach((one) => plot.add(one.step, one.error, one.achieved));
    hear(known.work);
    if (known.frame && !over) watch(known.frame);
    if (known.picture) node.show(known.picture);
    return true;
  };

  const ends = [
    on("work", slot, hear),
    on("frame", slot, watch),
    on("picture", slot, ({ picture }) => {
      node.show(picture);
      say(`${named || picture.caption}: done. ${picture.figures.map((one) => `${one.label} ${one.text}`).join(", ")}`, true);
      onPicture(picture);
    }),
  ];
  node.stop = () => ends.forEach((end) => end());
  return node;
}
