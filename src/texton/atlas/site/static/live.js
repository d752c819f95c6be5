// Follows a build: pictures appear as they are finished, progress and pace are told.
"use strict";
(function () {
  let since = document.querySelector('meta[name="texton-live"]').content;
  let source = null;
  const pace = document.getElementById("pace");

  function open() {
    if (source || document.hidden) return;
    source = new EventSource(`${texton.root}events?since=${encodeURIComponent(since)}`);
    source.addEventListener("news", (event) => {
      since = event.lastEventId;
      const { units, status } = JSON.parse(event.data);
      units.forEach((unit) => show(...unit));
      if (status) tell(status);
    });
    source.addEventListener("changed", () => location.reload()); // layers or photographs were added
    source.onerror = () => { if (pace) pace.textContent = "The server does not answer."; };
  }

  function close() { // a browser holds few connections to one host
    if (source) source.close();
    source = null;
  }

  function show(slug, channel, photo, figures) {
    if (texton.onUnit) texton.onUnit(slug, channel, photo, figures);
    const unit = `${slug}:${channel}@${photo}`;
    document.querySelectorAll(`[data-unit="${CSS.escape(unit)}"]`).forEach((place) => {
      if ("large" in place.dataset) renewSoon();
      else renewTile(place, slug, channel, photo, figures[0]);
    });
  }

  // As the template has it.
  function renewTile(tile, slug, channel, photo, status) {
    const layer = texton.atlas().layers.find((one) => one.slug === slug);
    tile.setAttribute("aria-label", `${layer.name}:${channel}${status === "ok" ? "" : `, ${status}`}`);
    tile.querySelectorAll(".badge").forEach((badge) => badge.remove());
    if (status !== "ok") {
      const badge = document.createElement("span");
      badge.className = "badge";
      badge.textContent = status;
      tile.querySelector(".frame").append(badge);
    }
    const hole = tile.querySelector(".hole");
    if (!hole || status === "failed") return;
    const image = document.createElement("img");
    image.alt = "";
    image.width = hole.getAttribute("width");
    image.height = hole.getAttribute("height");
    image.src = texton.picture(slug, channel, photo);
    hole.replaceWith(image);
    tile.classList.add("fresh");
  }

  // A filter's page: what the server has anew is put in place, whatever is being read stays.
  let renewing = 0;
  function renewSoon() {
    clearTimeout(renewing);
    renewing = setTimeout(() => {
      const request = new XMLHttpRequest();
      request.open("GET", location.pathname);
      request.responseType = "document";
      request.onload = () => { if (request.status === 200) renew(request.response); };
      request.send();
    }, 100);
  }

  function renew(page) {
    document.querySelectorAll("[data-renew]").forEach((old) => {
      const made = page.getElementById(old.id);
      if (made && !made.isEqualNode(old) && !old.contains(document.activeElement)) old.replaceWith(made);
    });
  }

  function tell(status) {
    const box = document.getElementById("progress");
    if (!box) return;
    const { units, done, failed, left, rate, seconds_left: seconds, running } = status;
    box.hidden = !left && !failed;
    box.querySelector("progress").max = units;
    box.querySelector("progress").value = done;
    const count = (number) => number.toLocaleString("en");
    document.getElementById("made").textContent = `${count(done)} of ${count(units)} pictures${failed ? `, ${failed} failed` : ""}`;
    const parts = [];
    if (running && rate) parts.push(rate >= 1 ? `${rate.toFixed(1)} a second` : `${(60 * rate).toFixed(1)} a minute`);
    if (running && left && seconds) parts.push(`${duration(seconds)} left`);
    pace.textContent = running ? parts.join(", ") : left ? "No build is at work." : "";
  }

  function duration(seconds) {
    if (seconds < 90) return `${Math.round(seconds)} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    return `${(seconds / 3600).toFixed(1)} h`;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
})();
