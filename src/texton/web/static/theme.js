// Light and dark: as the system has it, or as the button #theme was told. A script of the page's
// head, so that a page never flashes in the other.
"use strict";
var texton = window.texton = window.texton || { data: [] };

(function () {
  const page = document.documentElement;

  texton.remember = (key, value) => {
    try {
      if (value === undefined) return localStorage.getItem(`texton-${key}`);
      localStorage.setItem(`texton-${key}`, value);
    } catch { /* no storage on this page: nothing is remembered */ }
    return null;
  };

  const theme = texton.remember("theme");
  if (theme === "light" || theme === "dark") page.dataset.theme = theme;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    button.addEventListener("click", () => {
      const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      page.dataset.theme = (page.dataset.theme || system) === "dark" ? "light" : "dark";
      texton.remember("theme", page.dataset.theme);
    });
  });
})();
