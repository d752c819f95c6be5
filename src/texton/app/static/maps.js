// All feature maps of a layer as a grid of small canvases: sorted, marked, chosen from.
import { make, next } from "./dom.js";
import { brief } from "./widgets.js";

// The colours of rising numbers are those of `texton map`.
const RISING = "000004 050417 110a30 210c4a 320a5e 450a69 57106e 67166e 781c6d 8a226a 9a2865 ab2f5e bc3754"
  + " ca404a d84c3e e45a31 ed6925 f57b17 f98e09 fca108 fbb61a f9cb35 f4df53 f2f27d fcffa4";
const LUT = table(RISING.split(" "));

function table(words) {
  const points = words.map((word) => [0, 2, 4].map((at) => parseInt(word.slice(at, at + 2), 16)));
  const lut = new Uint32Array(256);
  for (let value = 0; value < 256; value += 1) {
    const at = (value / 255) * (points.length - 1), low = Math.min(points.length - 2, Math.floor(at)), share = at - low;
    const [red, green, blue] = points[low].map((from, plane) => Math.round(from + share * (points[low + 1][plane] - from)));
    lut[value] = (255 << 24) | (blue << 16) | (green << 8) | red; // little-endian RGBA
  }
  return lut;
}

// grid.show(maps), grid.at({x, y} | null) in shares of the photograph, grid.sort("energy" |
// "place" | "number"); onChoose(channel).
export function mapGrid({ onChoose }) {
  const node = make("div", { class: "maps", role: "listbox", "aria-label": "Feature maps" });
  let maps = null, place = null, order = "energy", tiles = [], chosen = null, shown = [];

  function cell() {
    return Math.min(maps.rows - 1, Math.floor(place.y * maps.rows)) * maps.columns + Math.min(maps.columns - 1, Math.floor(place.x * maps.columns));
  }

  function valueOf(channel) {
    return (maps.bytes[channel * maps.rows * maps.columns + cell()] / 255) * maps.peaks[channel];
  }

  function tile(channel) {
    const canvas = make("canvas", { width: maps.columns, height: maps.rows });
    const value = make("span", { class: "value" });
    const one = make("button", { type: "button", role: "option", class: "tile map", tabindex: -1, "aria-selected": "false" },
      make("span", { class: "frame" }, canvas), make("span", { class: "caption" }, make("span", { class: "name" }, channel), value));
    one.dataset.channel = channel;
    return { node: one, canvas, value, channel, drawn: false };
  }

  // Pixels are set when a map comes near the window: a layer of 2,048 opens as quickly as one of 64.
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const one = entry.isIntersecting && tiles[Number(entry.target.dataset.channel)];
      if (one && !one.drawn && one.node === entry.target) draw(one);
    }
  }, { rootMargin: "400px" });

  function draw(one) {
    const size = maps.rows * maps.columns, pixels = new ImageData(maps.columns, maps.rows);
    const words = new Uint32Array(pixels.data.buffer);
    for (let at = 0, from = one.channel * size; at < size; at += 1) words[at] = LUT[maps.bytes[from + at]];
    one.canvas.getContext("2d").putImageData(pixels, 0, 0);
    one.drawn = true;
  }

  function sort() {
    const key = order === "place" && place ? valueOf : order === "number" ? (channel) => -channel : (channel) => maps.energies[channel];
    const keys = tiles.map((one) => key(one.channel));
    shown = [...tiles].sort((a, b) => keys[b.channel] - keys[a.channel] || a.channel - b.channel);
    const focused = node.contains(document.activeElement) ? document.activeElement : null;
    node.replaceChildren(...shown.map((one) => one.node));
    focused?.focus({ preventScroll: true });
    rove(focused ?? tiles[chosen]?.node ?? shown[0]?.node);
  }

  function rove(to) {
    node.querySelectorAll('[tabindex="0"]').forEach((one) => { one.tabIndex = -1; });
    if (to) to.tabIndex = 0;
  }

  function tell() {
    const total = maps.energies.reduce((sum, one) => sum + one, 0) || 1;
    for (const one of tiles) {
      const text = place ? brief(valueOf(one.channel)) : `${(100 * maps.energies[one.channel] / total).toFixed(1)} %`;
      one.value.textContent = text;
      one.node.setAttribute("aria-label", `Filter ${one.channel}, ${place ? `${text} here` : `${text} of the energy`}`);
    }
  }

  node.show = (told) => {
    maps = told;
    near.disconnect();
    chosen = null;
    tiles = maps.energies.map((_, channel) => tile(channel));
    node.style.setProperty("--shape", `${maps.columns} / ${maps.rows}`);
    node.style.setProperty("--cell", `${100 / maps.columns}%`);
    sort();
    tell();
    tiles.forEach((one) => near.observe(one.node));
  };

  node.at = (to) => {
    place = to;
    node.classList.toggle("placed", to !== null);
    if (!maps) return;
    if (to) {
      node.style.setProperty("--x", `${(100 * (0.5 + Math.min(maps.columns - 1, Math.floor(to.x * maps.columns)))) / maps.columns}%`);
      node.style.setProperty("--y", `${(100 * (0.5 + Math.min(maps.rows - 1, Math.floor(to.y * maps.rows)))) / maps.rows}%`);
    }
    tell();
    if (order === "place") sort();
  };

  node.sort = (by) => { order = by; if (maps) sort(); };

  // The filters that say most at the place: [{channel, value}].
  node.strongest = (count) => maps && place
    ? tiles.map(({ channel }) => ({ channel, value: valueOf(channel) })).sort((a, b) => b.value - a.value).slice(0, count)
    : [];

  node.choose = (channel) => {
    if (chosen !== null) tiles[chosen]?.node.setAttribute("aria-selected", "false");
    chosen = tiles[channel] ? channel : null;
    if (chosen === null) return;
    tiles[chosen].node.setAttribute("aria-selected", "true");
    rove(tiles[chosen].node);
  };

  node.addEventListener("click", (event) => {
    const one = event.target.closest("[role=option]");
    if (one) onChoose(Number(one.dataset.channel));
  });
  node.addEventListener("keydown", (event) => {
    const items = shown.map((one) => one.node);
    const across = items.length ? items.filter((one) => one.offsetTop === items[0].offsetTop).length : 1;
    const to = next(event, items, across);
    if (!to) return;
    rove(to);
    to.focus();
  });
  return node;
}
