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
    const { layers, photos } = texton.atlas();
    const bySlug = (all, wanted) => all.find((one) => one.slug === wanted);
    document.querySelectorAll(`[data-unit="${CSS.escape(unit)}"]:not([data-slot])`).forEach((old) => {
      if ("large" in old.dataset) renewSoon();
      else texton.replace(old, texton.tile(bySlug(layers, slug), channel, bySlug(photos, photo), figures[0], !old.querySelector(".of")));
    });
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
