// A photograph in which a place is pointed at: with a mouse, a finger or arrow keys.
import { make } from "./dom.js";

// onPlace({x, y, spoken} | null), in shares of width and height.
export function photoStage({ onPlace }) {
  const image = make("img", { alt: "", hidden: true, draggable: "false" });
  const mark = make("span", { class: "mark", hidden: true, "aria-hidden": "true" });
  const blank = make("p", { class: "blank" }, "No photograph yet");
  const node = make("div", { class: "photo-stage frame", tabindex: 0, role: "application", "aria-roledescription": "place in a photograph", "aria-label": "" }, image, mark, blank);
  const stage = { node, place: null };
  let waiting = null, kept = null;

  function put(place) {
    stage.place = place;
    mark.hidden = !place;
    if (place) {
      mark.style.left = `${100 * place.x}%`;
      mark.style.top = `${100 * place.y}%`;
    }
    waiting ??= requestAnimationFrame(() => { waiting = null; onPlace(stage.place); });
  }

  function of(event) {
    const box = node.getBoundingClientRect();
    const within = (share) => Math.min(0.9999, Math.max(0, share));
    return { x: within((event.clientX - box.left) / box.width), y: within((event.clientY - box.top) / box.height), spoken: false };
  }

  node.addEventListener("pointermove", (event) => { if (!image.hidden) put(of(event)); });
  node.addEventListener("pointerdown", (event) => { if (!image.hidden) { kept = of(event); put(kept); } });
  node.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") put(kept); });
  node.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Escape") { kept = null; put(null); }
    if (!(event.key in steps) || image.hidden) return;
    event.preventDefault();
    const stride = event.shiftKey ? 0.1 : 0.02, [dx, dy] = steps[event.key], from = stage.place ?? { x: 0.5, y: 0.5 };
    const within = (share) => Math.min(0.9999, Math.max(0, share));
    kept = { x: within(from.x + dx * stride), y: within(from.y + dy * stride), spoken: true };
    put(kept);
  });

  stage.show = (url, photo) => {
    kept = null;
    put(null);
    image.hidden = !url;
    blank.hidden = Boolean(url);
    if (!url) return;
    image.src = url;
    image.width = photo.width;
    image.height = photo.height;
    image.alt = `The photograph ${photo.name}`;
    node.setAttribute("aria-label", `${photo.name}: arrow keys point at a place, Shift with them takes larger steps, Escape ends`);
  };
  return stage;
}
