// What every page does: search, keys, copying; theme.js has begun texton. Data scripts push to texton.data.
"use strict";
var texton = window.texton = window.texton || { data: [] };

(function () {
  const page = document.documentElement;
  page.classList.add("js");
  texton.root = document.querySelector('meta[name="texton-root"]').content;

  texton.atlas = () => texton.data.find(([kind]) => kind === "atlas")[1];
  texton.layers = () => texton.data.filter(([kind]) => kind === "layer").map(([, layer]) => layer);
  texton.layerData = (slug) => texton.layers().find((layer) => layer.slug === slug);

  texton.picture = (slug, channel, photo, large) => {
    const kind = !large && texton.atlas().thumbnails ? "thumb.webp" : "png";
    return `${texton.root}${slug}/${channel}.${photo}.${kind}`;
  };
  // A figure as people read it.
  texton.text = ({ show, digits }, value) => {
    if (value === null) return "–";
    if (show === "percent") return `${(100 * value).toFixed(digits)} %`;
    if (Math.abs(value) < 1e7) return value.toFixed(digits);
    return Number(value.toPrecision(3)).toExponential().replace(/e\+(\d)$/, "e+0$1"); // as Python writes it
  };

  // Which axes tell the method's pictures apart: "photo", "layer", "channel".
  texton.by = (axis) => texton.atlas().method.axes.includes(axis);
  texton.name = (layer, channel) => texton.by("channel") ? `${layer.name}:${channel}` : layer.name;

  texton.make = (tag, attributes, ...content) => {
    const made = tag === "svg" ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    made.append(...content.filter((one) => one !== ""));
    return made;
  };

  // A small picture that leads to a unit's page, the same as the macro of the templates makes it;
  // with a figure told as well. Short: the layer's name goes without saying.
  texton.tile = (layer, channel, photo, status, short, figure, value) => {
    const { make } = texton, { width, height } = photo;
    const own = texton.by("channel") ? channel : texton.by("photo") ? photo.name : null;
    const on = own === photo.name ? `#on-${texton.atlas().photos.indexOf(photo) + 1}` : "";
    const pictured = status === "ok" || status === "dead";
    const told = figure && status === "ok" ? texton.text(figure, value) : "";
    const name = make("span", { class: "name" }, own === null || !short ? make("span", { class: "of" }, layer.name) : "", own === null ? "" : short ? own : `:${own}`);
    return make("a", {
      class: "tile",
      href: `${texton.root}${layer.slug}/${channel}.html${on}`,
      "data-unit": `${layer.slug}:${channel}@${photo.slug}`,
      "aria-label": `${layer.name}${own === null ? "" : `:${own}`}${told ? `, ${figure.label.toLowerCase()} ${told}` : status === "ok" ? "" : `, ${status || "not made yet"}`}`,
    }, make("span", { class: "frame" }, pictured
      ? make("img", { src: texton.picture(layer.slug, channel, photo.slug), width, height, alt: "", loading: "lazy", decoding: "async" })
      : make("svg", { class: "hole", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": true }),
    status && status !== "ok" ? make("span", { class: "badge" }, status) : ""),
    make("span", { class: "caption" }, name, told ? make("span", {}, told) : ""));
  };

  // A tile in another's place, which may have had the focus.
  texton.replace = (old, made) => {
    const focused = old === document.activeElement;
    if (!old.querySelector("img")) made.classList.add("fresh");
    old.replaceWith(made);
    if (focused) made.focus({ preventScroll: true });
  };

  texton.has = (layer, channel) => layer.ranges.some(([low, high]) => low <= channel && channel <= high);

  // "relu4_2:17", "relu4_2" or, on a page of a layer, "17": {layer, channel} or {problem}. Where
  // filters have no pictures of their own, a layer has one channel.
  texton.find = (text, here) => {
    const layers = texton.atlas().layers, channels = texton.by("channel");
    const whole = (layer) => ({ layer, channel: channels ? null : layer.ranges[0][0] });
    const own = layers.find((layer) => layer.name === here);
    if (channels && own && /^\d+$/.test(text) && texton.has(own, Number(text))) return { layer: own, channel: Number(text) };
    const exact = layers.find((layer) => layer.name === text);
    if (exact) return whole(exact);
    const [, name, digits] = (channels && /^(?:(.*):)?(\d+)$/.exec(text)) || [null, text, null];
    if (name === undefined && !own) return { problem: `Of which layer? Write ${layers[0].name}:${digits}.` };
    const wanted = name === undefined ? here : name;
    const layer = layers.find((one) => one.name === wanted)
      || layers.find((one) => one.name.toLowerCase() === wanted.toLowerCase());
    if (!layer) {
      const near = texton.nearest(wanted, layers.map((one) => one.name));
      return { problem: `There is no ${texton.by("layer") ? "layer " : ""}${wanted}${near ? `. Did you mean ${near}?` : "."}` };
    }
    if (digits === null) return whole(layer);
    if (texton.has(layer, Number(digits))) return { layer, channel: Number(digits) };
    const ends = layer.ranges.map(([low, high]) => low === high ? low : `${low}–${high}`);
    const known = ends.length > 4 ? `${layer.ranges[0][0]} to ${layer.ranges.at(-1)[1]}, with gaps` : ends.join(", ");
    return { problem: `The atlas has no ${layer.name}:${digits}: it has ${known}.` };
  };

  texton.nearest = (text, names) => {
    const pairs = (word) => new Set([...word.toLowerCase()].map((char, at, all) => char + (all[at + 1] || "")));
    const asked = pairs(text);
    const scored = names.map((name) => {
      const own = pairs(name);
      return [[...own].filter((pair) => asked.has(pair)).length / (own.size + asked.size), name];
    });
    const [score, name] = scored.reduce((best, one) => one[0] > best[0] ? one : best, [0, null]);
    return score > 0.2 ? name : null;
  };

  function search(event) {
    event.preventDefault();
    const text = document.getElementById("find").value.trim();
    const answer = document.getElementById("found");
    answer.textContent = "";
    if (!text) return;
    const current = document.querySelector(".layers [aria-current][data-layer]");
    const at = texton.by("layer") ? -1 : texton.atlas().photos.findIndex((photo) => photo.name === text);
    const found = texton.find(at < 0 ? text : texton.atlas().layers[0].name, current && current.dataset.layer);
    if (found.problem) {
      answer.textContent = found.problem;
    } else {
      location.href = `${texton.root}${found.layer.slug}/${found.channel ?? "index"}.html${at < 0 ? "" : `#on-${at + 1}`}`;
    }
  }

  function keys(event) {
    const typing = event.target.closest("input, select, textarea, pre");
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing) return;
    if (event.key === "/") {
      event.preventDefault();
      document.getElementById("find").focus();
    } else if (event.key === "c" && document.getElementById("compare")) {
      document.getElementById("compare").click();
    } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const link = document.querySelector(`a[rel=${event.key === "ArrowLeft" ? "prev" : "next"}]`);
      if (link) link.click();
    }
  }

  async function copy(button) {
    const code = button.parentElement.querySelector("code");
    let copied = false;
    try {
      await navigator.clipboard.writeText(code.textContent);
      copied = true;
    } catch {
      getSelection().selectAllChildren(code); // without the right to copy: selected, for the user to
      copied = document.execCommand("copy");
    }
    button.textContent = copied ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("search").addEventListener("submit", search);
    document.getElementById("find").addEventListener("input", () => {
      document.getElementById("found").textContent = "";
    });
    document.addEventListener("keydown", keys);
    document.addEventListener("click", (event) => { // live pages get more of them
      const button = event.target.closest("[data-copy]");
      if (button) copy(button);
    });
    const current = document.querySelector(".layers [aria-current]");
    const strip = document.querySelector(".layers");
    if (current) strip.scrollLeft = current.offsetLeft - strip.offsetLeft - strip.clientWidth / 2;
  });
})();
