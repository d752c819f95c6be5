// The filters of a layer, or of all: only the rows that are seen exist, and only they are fetched.
"use strict";
(function () {
  const grid = document.getElementById("grid");
  const tools = document.getElementById("tools");
  const note = document.getElementById("note");
  const atlas = texton.atlas();
  const layers = texton.layers();
  const many = layers.length > 1;
  const CAPTION = 20, SPARE_ROWS = 1, MAP_LEAST = 34;
  const gap = () => parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--gap"));

  // Without channels the photographs stand side by side; otherwise one of them is chosen.
  const photos = texton.by("channel") || !texton.by("photo") ? [null] : atlas.photos;
  const items = layers.flatMap((layer) => {
    const about = atlas.layers.find((one) => one.slug === layer.slug);
    const one = (channel, at) => (photo) => ({ layer, about, channel, at, photo });
    return layer.channels.flatMap((channel, at) => photos.map(one(channel, at)));
  });
  const rows = new Map(); // row number -> its element
  let photo = 0, sort = "channel", view = "grid", size = 112;
  let slots = [], columns = 1, shape = {}, active = 0, about = "";
  let here = location.hash.slice(1); // the filter that was opened last: where to come back to

  const photoOf = (item) => item.photo || atlas.photos[photo];
  const figures = [...atlas.figures, ...atlas.evidence];
  const value = (item, key) => {
    const columns = item.layer.photos[atlas.photos.indexOf(photoOf(item))];
    return (columns[key] || item.layer.evidence[key] || [])[item.at] ?? null;
  };
  const own = (item) => (item.photo ? item.photo.name : item.channel);
  const anchor = (item) => encodeURIComponent(many ? `${item.about.name}:${own(item)}` : own(item));
  const figureShown = () => figures.find((figure) => figure.key === sort) || figures[0];

  // Which are left: all, those of a status, those that no picture excites; and of the figure that
  // is shown those between two bounds, in the unit that people read it in.
  let only = "all", least = null, most = null;
  function left() {
    const figure = figureShown(), unit = figure && figure.show === "percent" ? 100 : 1;
    return items.filter((item) => {
      if (only === "silent" ? value(item, "active") !== 0 : only !== "all" && value(item, "status") !== only) return false;
      if (least === null && most === null) return true;
      const found = figure ? value(item, figure.key) : null;
      return found !== null && (least === null || found * unit >= least) && (most === null || found * unit <= most);
    });
  }

  // ---- order and geometry -------------------------------------------------------------------

  function ordered() {
    const items = left();
    if (sort === "channel") return items;
    if (sort === "texture") {
      const place = new Map();
      layers.forEach((layer) => (layer.map ? layer.map.walk : []).forEach((channel, at) => place.set(`${layer.slug}:${channel}`, at)));
      const at = (item) => place.get(`${item.layer.slug}:${item.channel}`) ?? Infinity;
      const first = new Map(layers.map((layer, number) => [layer, number]));
      return items.sort((a, b) => first.get(a.layer) - first.get(b.layer) || (at(a) === at(b) ? a.at - b.at : at(a) - at(b)));
    }
    const sign = figureShown().better === "low" ? 1 : -1;
    const key = (item) => {
      const found = value(item, sort);
      return found === null ? Infinity : sign * found;
    };
    return items.sort((a, b) => (key(a) === key(b) ? 0 : key(a) - key(b)));
  }

  function arrange() {
    const map = view === "map" && layers[0].map;
    if (map) {
      slots = new Array(map.columns * map.rows).fill(null);
      items.forEach((item) => { if (map.cells[item.at] >= 0) slots[map.cells[item.at]] = item; });
    } else {
      slots = ordered();
    }
    const unplaced = map ? items.filter((item) => map.cells[item.at] < 0).length : 0;
    const unmapped = view === "map" && !map ? "There is no map yet: it is made from finished pictures." : "";
    const figure = figureShown();
    const shown = map || !figure ? "" : `Shown with each ${texton.by("channel") ? "filter" : "picture"}: its ${figure.label.toLowerCase()}.`;
    note.title = shown && figure.help;
    const chosen = map || slots.length === items.length ? "" : `${slots.length.toLocaleString("en")} of ${items.length.toLocaleString("en")}. `;
    about = unmapped || (unplaced ? `${unplaced} filter${unplaced === 1 ? " has" : "s have"} no texture to place: dead, or not made yet.` : chosen + shown);
    tellOf(null);
    grid.classList.toggle("map", !!map);
    if (!slots[active]) active = Math.max(0, slots.findIndex(Boolean));
    measure();
  }

  function measure() {
    const map = view === "map" && layers[0].map;
    const held = grid.contains(document.activeElement);
    const width = grid.clientWidth, between = map ? 2 : gap();
    const { width: w, height: h } = atlas.photos[photo];
    columns = map ? map.columns : Math.max(2, Math.floor((width + between) / (size + between)));
    const fitting = (width - between * (columns - 1)) / columns;
    const tile = map ? Math.max(MAP_LEAST, Math.min(fitting, size)) : fitting;
    const height = Math.round(tile * Math.min(1.5, Math.max(h / w, 0.5)));
    shape = { tile, height, step: height + (map ? 0 : CAPTION) + between, across: tile + between };
    const count = Math.ceil(slots.length / columns);
    grid.classList.toggle("wide", columns * shape.across - between > width + 1);
    grid.style.height = `${count * shape.step + (map ? 16 : 0)}px`;
    grid.setAttribute("aria-rowcount", count);
    grid.setAttribute("aria-colcount", columns);
    rows.forEach((row) => row.remove());
    rows.clear();
    if (held) focus(active);
    else draw();
  }

  // ---- rows that are seen --------------------------------------------------------------------

  function draw() {
    const top = grid.getBoundingClientRect().top;
    const count = Math.ceil(slots.length / columns);
    const first = Math.max(0, Math.floor(-top / shape.step) - SPARE_ROWS);
    const last = Math.min(count - 1, Math.floor((innerHeight - top) / shape.step) + SPARE_ROWS);
    rows.forEach((row, number) => {
      if ((number < first || number > last) && !row.contains(document.activeElement)) {
        row.remove();
        rows.delete(number);
      }
    });
    const numbers = [...rows.keys()];
    for (let number = first; number <= last; number++) {
      if (rows.has(number)) continue;
      const row = makeRow(number);
      const after = numbers.filter((other) => other > number).sort((a, b) => a - b)[0];
      grid.insertBefore(row, after === undefined ? null : rows.get(after));
      rows.set(number, row);
    }
    if (!grid.contains(document.activeElement)) keepReachable(-top / shape.step);
  }

  // Tab leads to one tile, the active one: after a scroll by wheel that is another.
  function keepReachable(scrolled) {
    if (tileAt(active)) return;
    const drawn = [...grid.querySelectorAll("[data-slot]")].map((tile) => Number(tile.dataset.slot));
    active = drawn.find((slot) => Math.floor(slot / columns) >= scrolled) ?? drawn[0] ?? active;
    if (tileAt(active)) tileAt(active).tabIndex = 0;
  }

  const tileAt = (slot) => grid.querySelector(`[data-slot="${slot}"]`);

  function makeRow(number) {
    const row = document.createElement("div");
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", number + 1);
    row.style.transform = `translateY(${number * shape.step}px)`;
    for (let column = 0; column < columns; column++) {
      const slot = number * columns + column;
      if (!slots[slot]) continue;
      const cell = document.createElement("div");
      cell.setAttribute("role", "gridcell");
      cell.setAttribute("aria-colindex", column + 1);
      cell.style.left = `${column * shape.across}px`;
      cell.style.width = `${shape.tile}px`;
      cell.append(makeTile(slots[slot], slot));
      row.append(cell);
    }
    return row;
  }

  function makeTile(item, slot) {
    const figure = figureShown();
    const tile = texton.tile(item.about, item.channel, photoOf(item), value(item, "status"), !many, figure, figure && value(item, figure.key));
    tile.tabIndex = slot === active ? 0 : -1;
    tile.dataset.slot = slot;
    tile.querySelector(".frame").style.height = `${shape.height}px`;
    tile.classList.toggle("brief", shape.tile < (many ? 110 : 72)); // no room for the figure
    return tile;
  }

  // On the map, where tiles have no caption, the note has the one that is at hand.
  function tellOf(tile) {
    note.classList.toggle("held", view === "map");
    note.setAttribute("aria-live", tile ? "off" : "polite"); // the tile itself is read out
    note.textContent = tile && view === "map" ? tile.getAttribute("aria-label") : about;
  }

  // ---- keys ----------------------------------------------------------------------------------

  function move(event) {
    const tile = event.target.closest("[data-slot]");
    if (!tile || event.altKey || event.metaKey) return;
    const from = Number(tile.dataset.slot);
    const page = Math.max(1, Math.floor(innerHeight / shape.step) - 1) * columns;
    const rowStart = from - (from % columns);
    const steps = {
      ArrowRight: [from + 1, 1], ArrowLeft: [from - 1, -1],
      ArrowDown: [from + columns, columns], ArrowUp: [from - columns, -columns],
      PageDown: [Math.min(from + page, slots.length - 1), 1], PageUp: [Math.max(from - page, 0), -1],
      Home: event.ctrlKey ? [0, 1] : [rowStart, 1],
      End: event.ctrlKey ? [slots.length - 1, -1] : [Math.min(rowStart + columns, slots.length) - 1, -1],
    };
    if (!steps[event.key]) return;
    event.preventDefault();
    let [to, step] = steps[event.key];
    while (to >= 0 && to < slots.length && !slots[to]) to += step;
    if (slots[to]) focus(to);
  }

  function focus(slot) {
    if (tileAt(active)) tileAt(active).tabIndex = -1;
    active = slot;
    const cover = grid.classList.contains("map") ? note.offsetHeight : 0; // it stays at the top
    const top = grid.getBoundingClientRect().top + Math.floor(slot / columns) * shape.step;
    if (top < cover) scrollBy(0, top - cover - 8);
    else if (top + shape.step > innerHeight) scrollBy(0, top + shape.step - innerHeight + 8);
    draw();
    const tile = tileAt(slot);
    tile.tabIndex = 0;
    tile.focus({ preventScroll: !grid.classList.contains("wide") });
    draw();
  }

  // ---- what is chosen, kept in the address ---------------------------------------------------

  function choose() {
    const form = new FormData(tools);
    photo = Math.max(0, atlas.photos.findIndex((one) => one.name === form.get("photo")));
    sort = form.get("sort");
    view = form.get("view") || "grid";
    only = form.get("only") || "all";
    [least, most] = ["least", "most"].map((name) => (form.get(name) ? Number(form.get(name)) : null));
    size = Number(form.get("size"));
    ["sort", "only", "least", "most"].forEach((name) => { if (tools.elements[name]) tools.elements[name].disabled = view === "map"; });
    const kept = new URLSearchParams();
    if (photo) kept.set("photo", atlas.photos[photo].name);
    if (sort !== "channel") kept.set("sort", sort);
    if (view !== "grid") kept.set("view", view);
    if (only !== "all") kept.set("only", only);
    if (least !== null) kept.set("least", least);
    if (most !== null) kept.set("most", most);
    address(String(kept) && `?${kept}`);
    texton.remember("size", size);
    arrange();
  }

  function address(query) {
    try {
      history.replaceState(null, "", `${location.pathname}${query}${here && `#${here}`}`);
    } catch { /* a browser that keeps the address of files as it is */ }
  }

  function leave(event) {
    const tile = event.target.closest("[data-slot]");
    if (!tile) return;
    here = anchor(slots[tile.dataset.slot]);
    address(location.search);
  }

  function comeBack() {
    const slot = here ? slots.findIndex((item) => item && anchor(item) === here) : -1;
    if (slot >= 0) focus(slot);
  }

  function restore() {
    const asked = new URLSearchParams(location.search);
    for (const key of ["least", "most"]) tools.elements[key].value = asked.get(key) ?? "";
    for (const key of ["sort", "view", "only"]) {
      const select = tools.elements[key];
      if (select && [...select.options].some((option) => option.value === asked.get(key))) select.value = asked.get(key);
    }
    tools.querySelectorAll("[name=photo]").forEach((radio) => { radio.checked = radio.value === (asked.get("photo") ?? atlas.photos[0].name); });
    tools.elements.size.value = texton.remember("size") || 112;
  }

  texton.onUnit = (slug, channel, photoSlug, figures) => {
    const number = atlas.photos.findIndex((one) => one.slug === photoSlug), made = atlas.photos[number];
    const item = items.find((one) => one.layer.slug === slug && one.channel === channel && [null, made].includes(one.photo));
    if (!item || !made) return;
    ["status", ...atlas.figures.map((figure) => figure.key)].forEach((key, at) => {
      item.layer.photos[number][key][item.at] = figures[at];
    });
    const slot = slots.indexOf(item);
    const old = photoOf(item) === made && tileAt(slot);
    if (old) texton.replace(old, makeTile(item, slot));
  };

  let asked = false;
  const soon = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(); });
  };
  restore();
  choose();
  tools.addEventListener("input", () => { here = ""; choose(); });
  tools.addEventListener("submit", (event) => event.preventDefault());
  grid.addEventListener("keydown", move);
  grid.addEventListener("click", leave);
  grid.addEventListener("focusin", (event) => {
    const tile = event.target.closest("[data-slot]");
    if (!tile) return;
    if (Number(tile.dataset.slot) !== active) focus(Number(tile.dataset.slot));
    tellOf(tile);
  });
  grid.addEventListener("focusout", () => tellOf(null));
  grid.addEventListener("pointerover", (event) => tellOf(event.target.closest("[data-slot]")));
  grid.addEventListener("pointerleave", () => tellOf(null));
  addEventListener("scroll", soon, { passive: true });
  let width = grid.clientWidth;
  new ResizeObserver(() => {
    if (grid.clientWidth !== width) measure();
    else soon();
    width = grid.clientWidth;
  }).observe(grid);
  addEventListener("resize", soon);
  addEventListener("hashchange", () => { here = location.hash.slice(1); comeBack(); });
  comeBack();
})();
