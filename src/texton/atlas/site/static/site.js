// What every page does: light and dark, search, keys, copying. Data scripts push to texton.data.
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
  texton.percent = (value, digits = 1) => value === null ? "–" : `${(100 * value).toFixed(digits)} %`;
  texton.show = {
    error: (value) => value === null ? "–" : value.toFixed(3),
    achieved: (value) => texton.percent(value),
    energy: (value) => texton.percent(value, 2),
    leakage: (value) => texton.percent(value),
  };

  texton.has = (layer, channel) => layer.ranges.some(([low, high]) => low <= channel && channel <= high);

  // "relu4_2:17", "relu4_2" or, on a page of a layer, "17": {layer, channel} or {problem}.
  texton.find = (text, here) => {
    const layers = texton.atlas().layers;
    const own = layers.find((layer) => layer.name === here);
    if (own && /^\d+$/.test(text) && texton.has(own, Number(text))) return { layer: own, channel: Number(text) };
    const exact = layers.find((layer) => layer.name === text);
    if (exact) return { layer: exact, channel: null };
    const [, name, digits] = /^(?:(.*):)?(\d+)$/.exec(text) || [null, text, null];
    if (name === undefined && !own) return { problem: `Of which layer? Write ${layers[0].name}:${digits}.` };
    const wanted = name === undefined ? here : name;
    const layer = layers.find((one) => one.name === wanted)
      || layers.find((one) => one.name.toLowerCase() === wanted.toLowerCase());
    if (!layer) {
      const near = texton.nearest(wanted, layers.map((one) => one.name));
      return { problem: `There is no layer ${wanted}${near ? `. Did you mean ${near}?` : "."}` };
    }
    if (digits === null) return { layer, channel: null };
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

  texton.remember = (key, value) => {
    try {
      if (value === undefined) return localStorage.getItem(`texton-${key}`);
      localStorage.setItem(`texton-${key}`, value);
    } catch { /* no storage on this page: nothing is remembered */ }
    return null;
  };

  const theme = texton.remember("theme");
  if (theme === "light" || theme === "dark") page.dataset.theme = theme;

  function switchTheme() {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    page.dataset.theme = (page.dataset.theme || system) === "dark" ? "light" : "dark";
    texton.remember("theme", page.dataset.theme);
  }

  function search(event) {
    event.preventDefault();
    const text = document.getElementById("find").value.trim();
    const answer = document.getElementById("found");
    answer.textContent = "";
    if (!text) return;
    const current = document.querySelector(".layers [aria-current][data-layer]");
    const found = texton.find(text, current && current.dataset.layer);
    if (found.problem) {
      answer.textContent = found.problem;
    } else {
      location.href = `${texton.root}${found.layer.slug}/${found.channel ?? "index"}.html`;
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
    document.getElementById("theme").addEventListener("click", switchTheme);
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
