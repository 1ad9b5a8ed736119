// Draws the figures of the page and lets the legend, the axis switch and the reader's light or dark setting act on them.
"use strict";
(() => {
  const { figures, themes } = JSON.parse(document.getElementById("figures").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const views = new Map();
  const state = new Map();

  function onLogAxis(node) {
    if (Array.isArray(node)) return node.map(onLogAxis);
    if (node === null || typeof node !== "object") return node;
    const copy = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, onLogAxis(value)]));
    if (copy.field === "n_labels" && copy.scale) copy.scale = { ...copy.scale, type: "log", zero: undefined };
    return copy;
  }

  async function draw(place) {
    const regime = place.closest("[data-regime]");
    const { chosen, log } = state.get(regime);
    const figure = figures[place.dataset.figure];
    const paper = dark.matches ? "dark" : "light";
    const result = await window.vegaEmbed(place, log ? onLogAxis(figure) : figure, {
      mode: "vega-lite", ast: true, renderer: "svg", config: themes[regime.dataset.regime][paper],
      tooltip: { theme: paper }, actions: { export: true, source: false, compiled: false, editor: false },
      downloadFileName: place.dataset.figure,
    });
    views.get(place)?.finalize();
    views.set(place, result);
    highlight(place, chosen);
  }

  function highlight(place, arm) {
    const view = views.get(place)?.view;
    if (view && "legend" in place.dataset) view.signal("chosen", arm).runAsync();
  }

  for (const regime of document.querySelectorAll("[data-regime]")) {
    const places = [...regime.querySelectorAll("[data-figure]")];
    state.set(regime, { chosen: "", log: regime.dataset.axis === "log" });
    for (const button of regime.querySelectorAll("button[data-arm]")) {
      button.addEventListener("click", () => {
        const now = state.get(regime);
        now.chosen = now.chosen === button.dataset.arm ? "" : button.dataset.arm;
        for (const other of regime.querySelectorAll("button[data-arm]")) {
          other.setAttribute("aria-pressed", String(other.dataset.arm === now.chosen));
        }
        for (const place of places) highlight(place, now.chosen);
      });
    }
    for (const button of regime.querySelectorAll("button.axis")) {
      button.addEventListener("click", () => {
        const now = state.get(regime);
        now.log = !now.log;
        for (const other of regime.querySelectorAll("button.axis")) other.setAttribute("aria-pressed", String(now.log));
        for (const place of places.filter((p) => "legend" in p.dataset)) draw(place);
      });
    }
    for (const place of places) draw(place);
  }
  dark.addEventListener("change", () => document.querySelectorAll("[data-figure]").forEach(draw));
})();
