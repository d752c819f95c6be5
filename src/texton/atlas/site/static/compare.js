// Two pictures, one over the other; a slider says how much of which is seen.
"use strict";
(function () {
  const atlas = texton.atlas();
  const form = document.getElementById("sides");
  const stage = document.getElementById("stage");
  const slider = document.getElementById("slider");
  const table = document.getElementById("figures");
  const note = document.getElementById("note");

  // "relu4_2:17@chelsea", "@chelsea" for the photograph itself.
  function read(side, text) {
    const at = text.lastIndexOf("@");
    form.elements[side].value = at < 0 ? text : text.slice(0, at);
    const photo = atlas.photos.find((one) => one.name === text.slice(at + 1)) || atlas.photos[0];
    form.elements[`${side}-photo`].value = photo.name;
  }

  function side(name) {
    const photo = atlas.photos.find((one) => one.name === form.elements[`${name}-photo`].value);
    const text = form.elements[name].value.trim();
    if (!text) return { photo, label: photo.name, image: `${texton.root}photos/${photo.slug}.png` };
    const found = texton.find(text, null);
    if (found.problem) return found;
    if (found.channel === null) return { problem: `Which filter of ${found.layer.name}? Write ${texton.name(found.layer, found.layer.ranges[0][0])}.` };
    const label = `${texton.name(found.layer, found.channel)}${atlas.photos.length > 1 ? ` on ${photo.name}` : ""}`;
    return { ...found, photo, label, image: texton.picture(found.layer.slug, found.channel, photo.slug, true) };
  }

  const loading = new Map();
  function data(slug) {
    if (!loading.has(slug)) {
      loading.set(slug, new Promise((done) => {
        const script = document.createElement("script");
        script.src = `${texton.root}assets/layers/${slug}.js`;
        script.onload = script.onerror = () => done(texton.layerData(slug));
        document.head.append(script);
      }));
    }
    return loading.get(slug);
  }

  async function figures(of) {
    if (!of.layer) return null;
    const layer = await data(of.layer.slug);
    const columns = layer && layer.photos[atlas.photos.indexOf(of.photo)];
    const at = layer ? layer.channels.indexOf(of.channel) : -1;
    return columns && at >= 0 ? Object.fromEntries(Object.entries(columns).map(([key, values]) => [key, values[at]])) : null;
  }

  function place(image, of) {
    image.alt = of.layer ? atlas.method.caption.replace("{unit}", () => texton.name(of.layer, of.channel)).replace("{photo}", () => of.photo.name) : `The photograph ${of.label}`;
    if (image.getAttribute("src") !== of.image) image.src = of.image;
  }

  let turn = 0;
  async function update() {
    const mine = ++turn;
    const a = side("a"), b = side("b");
    note.textContent = a.problem || b.problem || "";
    table.hidden = !!(a.problem || b.problem);
    stage.hidden = stage.hidden || table.hidden;
    if (table.hidden) return;
    const { width, height } = a.photo;
    stage.style.setProperty("--shape", width / height);
    stage.style.setProperty("--most", `${9 * width}px`); // beyond that there is only blur
    stage.style.aspectRatio = `${width} / ${height}`;
    const spell = (of) => encodeURIComponent(`${of.layer ? texton.name(of.layer, of.channel) : ""}@${of.photo.name}`);
    try {
      history.replaceState(null, "", `${location.pathname}?a=${spell(a)}&b=${spell(b)}`);
    } catch { /* a browser that keeps the address of files as it is */ }
    const told = [await figures(a), await figures(b)];
    if (mine !== turn) return;
    fill(a, b, told);
  }

  function fill(a, b, told) {
    document.getElementById("name-a").textContent = a.label;
    document.getElementById("name-b").textContent = b.label;
    const unmade = [a, b].filter((of, at) => of.layer && (!told[at] || !["ok", "dead"].includes(told[at].status)));
    if (unmade.length) note.textContent = `${unmade.map((of) => of.label).join(" and ")}: not made yet.`;
    stage.hidden = unmade.length > 0;
    if (!unmade.length) {
      place(document.getElementById("left"), a);
      place(document.getElementById("right"), b);
    }
    table.tBodies[0].replaceChildren(...atlas.figures.map((figure) => texton.make("tr", {},
      texton.make("th", { scope: "row", title: figure.help }, figure.label),
      ...told.map((one) => texton.make("td", {}, one ? texton.text(figure, one[figure.key]) : "–")))));
  }

  function slide() {
    stage.style.setProperty("--at", `${slider.value}%`);
  }

  const asked = new URLSearchParams(location.search);
  const first = atlas.layers[0], low = first.ranges[0][0];
  read("a", asked.get("a") ?? `${texton.name(first, low)}@${atlas.photos[0].name}`);
  read("b", asked.get("b") ?? `${texton.by("photo") ? "" : texton.name(first, low)}@${atlas.photos[0].name}`);
  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => { event.preventDefault(); update(); });
  slider.addEventListener("input", slide);
  document.getElementById("swap").addEventListener("click", () => {
    for (const key of ["", "-photo"]) {
      const a = form.elements[`a${key}`], b = form.elements[`b${key}`];
      [a.value, b.value] = [b.value, a.value];
    }
    update();
  });
  slide();
  update();
})();
