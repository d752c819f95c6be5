// History: every picture with what made it; two of them under a slider.
import { history as fetchHistory, on, remove } from "./api.js";
import { make, plural, say, toast } from "./dom.js";
import { reopen, saving, viewOf } from "./forms.js";
import { sized } from "./pick.js";
import { compareStage, copyRow, dropZone, figureList } from "./widgets.js";

export function mount(root, house) {
  const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
  let pictures = [], chosen = query.get("picture"), other = query.get("with");
  const grid = make("ul", { class: "shelf" });
  const note = make("p", { class: "quiet", role: "status" });
  const detail = make("section", { class: "detail", "aria-label": "The chosen picture", hidden: true });
  const drop = dropZone({ label: "Open a picture that texton saved", hint: "drop the PNG here: its settings come back", accept: "image/png", onFiles: ([file]) => reopen(file, house) });
  root.append(make("div", { class: "above" }, make("h1", {}, "History"), note, drop), detail, grid);

  const name = (one) => `${one.title}${one.unit?.layer ? `, ${spelled(one)}` : ""}`;

  function tile(one) {
    const button = make("button", { type: "button", class: "tile", "aria-pressed": String(one.id === chosen), "aria-label": `${one.caption}, ${ago(one.when)}`, onclick: () => choose(one.id) },
      make("span", { class: "frame" }, make("img", { src: one.thumb, alt: "", loading: "lazy", width: one.width, height: one.height })),
      make("span", { class: "caption" }, make("span", { class: "name" }, make("span", { class: "of" }, one.unit?.layer ? spelled(one) : one.method)), make("span", {}, ago(one.when))));
    button.dataset.id = one.id;
    return make("li", {}, button);
  }

  function draw() {
    note.textContent = pictures.length ? plural(pictures.length, "picture") : "Nothing yet. What you make in the other views is kept here, with everything needed to make it again.";
    grid.replaceChildren(...pictures.map(tile));
  }

  function keep() {
    const told = new URLSearchParams();
    if (chosen) told.set("picture", chosen);
    if (chosen && other) told.set("with", other);
    history.replaceState(null, "", `#history${told.size ? `?${told}` : ""}`);
  }

  function choose(id) {
    chosen = id;
    other = null;
    grid.querySelectorAll(".tile").forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.id === id)));
    show();
    detail.scrollIntoView({ block: "nearest" });
    detail.querySelector("h2").focus({ preventScroll: true });
  }

  function show() {
    keep();
    const one = pictures.find((picture) => picture.id === chosen);
    detail.hidden = !one;
    if (!one) return;
    const scene = make("div", { class: "scene" });
    const select = make("select", { onchange: () => { other = select.value || null; keep(); stage(); } }, make("option", { value: "" }, "nothing"), ...sides(one));
    select.value = other ?? "";
    function stage() {
      const against = other && side(one, other);
      if (against) scene.replaceChildren(compareStage({ url: one.url, name: one.caption }, against, one));
      else scene.replaceChildren(make("img", { class: "whole", src: one.url, alt: one.caption, width: one.width, height: one.height }));
    }
    stage();
    detail.replaceChildren(
      make("div", { class: "seen" }, scene, make("label", { class: "field beside" }, "Compare with", select)),
      make("div", { class: "facts" }, make("h2", { tabindex: -1 }, name(one)), make("p", { class: "quiet" }, one.caption), facts(one), settings(one),
        make("div", { class: "acts" }, [...saving(one).children].slice(0, -1),
          moving(one) && make("button", { type: "button", class: "plain", "aria-pressed": "false", onclick: (event) => play(event.currentTarget) }, "Play"),
          make("button", { type: "button", class: "plain", onclick: () => again(one) }, "Change and make again"),
          make("button", { type: "button", class: "plain danger", onclick: () => erase(one) }, "Delete")),
        copyRow("Again as a command", one.command), copyRow("Again in Python", one.python)));
  }

  // An animation that was made beside the picture, in its place: on demand, as it moves.
  const moving = (one) => (one.beside ?? []).find((url) => /\.(webp|gif)(\?|$)/.test(url));
  function play(button) {
    const one = pictures.find((picture) => picture.id === chosen), playing = button.getAttribute("aria-pressed") !== "true";
    detail.querySelector(".scene img").src = playing ? moving(one) : one.url;
    button.setAttribute("aria-pressed", String(playing));
    button.textContent = playing ? "Stop" : "Play";
  }

  // What a picture can be compared with: its photograph, and every other.
  function sides(one) {
    const photo = one.photo && make("option", { value: "photo" }, `the photograph ${one.photo.name}`);
    return [photo, ...pictures.filter((x) => x.id !== one.id).map((x) => make("option", { value: x.id }, `${name(x)} · ${ago(x.when)}`))].filter(Boolean);
  }

  function side(one, id) {
    if (id === "photo") return one.photo && { url: sized(one.photo.url, Math.max(one.width, one.height)), name: `the photograph ${one.photo.name}` };
    const found = pictures.find((x) => x.id === id);
    return found && { url: found.url, name: found.caption };
  }

  function again(one) {
    house.pending = one.request;
    location.hash = viewOf(one.request);
  }

  let sure = null;
  async function erase(one) {
    const button = detail.querySelector(".danger");
    if (sure !== one.id) { // asked once more, in place: no dialog to escape from
      sure = one.id;
      button.textContent = "Delete for good?";
      setTimeout(() => { sure = null; if (button.isConnected) button.textContent = "Delete"; }, 4000);
      return;
    }
    try {
      await remove(`/api/pictures/${encodeURIComponent(one.id)}`);
    } catch (error) {
      toast(error.message, "error");
      return;
    }
    const at = pictures.indexOf(one);
    pictures = pictures.filter((x) => x !== one);
    chosen = null;
    draw();
    show();
    say("Deleted", true);
    (grid.querySelectorAll(".tile")[Math.min(at, pictures.length - 1)] ?? drop.querySelector("input")).focus();
  }

  async function load() {
    try {
      pictures = await fetchHistory();
    } catch (error) {
      note.textContent = error.message;
      return;
    }
    if (!pictures.some((one) => one.id === chosen)) chosen = null;
    draw();
    show();
  }

  const stop = on("picture", null, ({ picture }) => {
    if (pictures.some((one) => one.id === picture.id)) return;
    pictures = [picture, ...pictures];
    draw();
  });
  load();
  return { unmount: stop };
}

const spelled = (one) => `${one.unit.layer}${one.unit.channel === null || one.unit.channel === undefined ? "" : `:${one.unit.channel}`}`;

function facts(one) {
  const more = [["Network", one.network], ["Photograph", one.photo?.name], ["Size", `${one.width} × ${one.height}`], ["Solved in", `${one.seconds.toFixed(1)} s`], ["Made", new Date(one.when).toLocaleString()]]
    .filter(([, text]) => text).map(([label, text]) => ({ label, text }));
  return figureList([...one.figures, ...more]);
}

function settings(one) {
  const changed = Object.entries(one.options ?? {});
  return make("p", { class: "changed quiet" }, changed.length ? changed.map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(" · ") : "All options as the method has them.");
}

function ago(when) {
  const seconds = (Date.now() - new Date(when).getTime()) / 1000;
  const known = [[60, "s"], [3600, "min", 60], [86400, "h", 3600]];
  if (seconds < 5) return "now";
  const [, unit, by = 1] = known.find(([limit]) => seconds < limit) ?? [0, "days", 86400];
  return `${Math.floor(seconds / by)} ${unit}`;
}
