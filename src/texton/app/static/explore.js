// Explore: a photograph as a layer's filters see it, and the texture that one of them extracts.
import { maps as fetchMaps } from "./api.js";
import { make, plural, say, settled } from "./dom.js";
import { filterPanel } from "./filter.js";
import { mapGrid } from "./maps.js";
import { layerPicker, networkSelect, photoPicker, sized } from "./pick.js";
import { photoStage } from "./place.js";
import { brief, takesDrops } from "./widgets.js";

const MAPS = 224; // the long edge that maps are of; their layer's resolution says the rest

export function mount(root, house) {
  const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
  const known = (id) => house.photos.some((one) => one.id === id);
  const chosen = house.chosen;
  if (known(query.get("photo"))) chosen.photo = query.get("photo");
  if (house.networks.some((one) => one.name === query.get("network"))) chosen.network = query.get("network");
  if (query.get("layer")) chosen.layer = query.get("layer");
  let filter = query.has("filter") ? Number(query.get("filter")) : query.size ? null : chosen.filter;
  let asked = null;

  const photos = photoPicker({ house, value: chosen.photo, onChange: (id) => { chosen.photo = id; changed(); } });
  const networks = networkSelect({ house, value: chosen.network, onChange: (name) => { chosen.network = name; opened(); } });
  const layers = layerPicker({ onChange: (layer) => { chosen.layer = layer.name; filter = null; later(); } });
  const stage = photoStage({ onPlace: hover });
  const here = make("div", { class: "here" });
  const grid = mapGrid({ onChoose: (channel) => choose(channel, true) });
  const note = make("p", { class: "quiet note" });
  const heading = make("h2", { class: "maps-title" }, "Feature maps");
  const sort = make("select", { onchange: () => grid.sort(sort.value) },
    make("option", { value: "energy" }, "energy"), make("option", { value: "place" }, "answer at this place"), make("option", { value: "number" }, "number"));
  const panel = filterPanel({ house, unit: () => ({ photo: chosen.photo, network: chosen.network, layer: chosen.layer, channel: filter }), onClose: () => { grid.querySelector("[aria-selected=true]")?.focus(); filter = null; grid.choose(null); keep(); } });

  root.append(
    make("h1", { class: "unseen" }, "Explore"),
    make("div", { class: "left" }, stage.node, here, photos, networks),
    make("div", { class: "middle" }, layers,
      make("div", { class: "tools" }, heading, make("label", { class: "field beside" }, "Sorted by", sort)), note, grid),
    panel.node,
  );
  takesDrops(root, ([file]) => photos.take(file));

  function keep() {
    chosen.filter = filter;
    const told = new URLSearchParams();
    for (const [key, value] of Object.entries({ photo: chosen.photo, network: chosen.network, layer: chosen.layer, filter })) {
      if (value !== null && value !== undefined) told.set(key, value);
    }
    history.replaceState(null, "", `#explore?${told}`);
  }

  function hover(place) {
    grid.at(place);
    if (!place) {
      here.replaceChildren(make("p", { class: "quiet" }, "Point at a place: every map marks it."));
      return;
    }
    const strongest = grid.strongest(6);
    here.replaceChildren(make("p", { class: "quiet" }, "Strongest here"), ...strongest.map((one) =>
      make("button", { type: "button", class: "plain", onclick: () => choose(one.channel, true) }, make("b", {}, one.channel), ` ${brief(one.value)}`)));
    if (place.spoken) say(`${Math.round(100 * place.x)} percent across, ${Math.round(100 * place.y)} percent down. Strongest: ${strongest.map((one) => `filter ${one.channel}, ${brief(one.value)}`).join("; ")}`, true);
  }

  function choose(channel, start) {
    filter = channel;
    grid.choose(channel);
    keep();
    panel.open(start);
  }

  async function opened() {
    note.textContent = "";
    const layer = await layers.show(chosen.network, chosen.layer);
    if (!layer) return;
    if (chosen.layer !== layer.name) filter = null;
    chosen.layer = layer.name;
    await load();
  }

  function changed() {
    const photo = house.photos.find((one) => one.id === chosen.photo);
    stage.show(photo ? sized(photo.url, 640) : null, photo);
    filter = null;
    if (layers.value) load();
  }

  async function load() {
    asked?.abort();
    asked = new AbortController();
    keep();
    panel.close();
    if (!chosen.photo) {
      note.textContent = "Open a photograph, or drop one here: every filter's map of it appears.";
      grid.hidden = true;
      return;
    }
    const name = chosen.layer;
    grid.classList.add("busy");
    try {
      const told = await fetchMaps({ photo: chosen.photo, network: chosen.network, layer: name, size: MAPS }, asked.signal);
      grid.hidden = false;
      note.textContent = "";
      grid.show(told);
      heading.textContent = `${plural(told.channels, "map")} of ${name}`;
      grid.setAttribute("aria-label", `${plural(told.channels, "feature map")} of ${name}`);
      say(heading.textContent, true);
      hover(stage.place);
      if (filter !== null && filter < told.channels) choose(filter, false);
    } catch (error) {
      if (error.name === "AbortError") return;
      grid.hidden = true;
      note.textContent = error.message;
    }
    grid.classList.remove("busy");
  }

  const later = settled(load, 200);
  const photo = house.photos.find((one) => one.id === chosen.photo);
  stage.show(photo ? sized(photo.url, 640) : null, photo);
  hover(null);
  opened();

  return { unmount() { asked?.abort(); photos.stop(); panel.stop(); } };
}
