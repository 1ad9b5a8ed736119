// Shows the cards that meet every condition of the form, and says how many there are.
"use strict";
(() => {
  const form = document.querySelector("form");
  const said = document.querySelector("output");
  const cards = [...document.querySelectorAll(".shelf > li")];
  const shelves = [...document.querySelectorAll(".family")];
  const has = (words, wanted) => !wanted || words.split("|").includes(wanted);

  function show() {
    const { search, family, regime, need, cold } = form.elements;
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const { text, families, regimes, needs, starts } = card.dataset;
      const fits = has(families, family.value) && has(regimes, regime.value) && has(needs, need.value)
        && (!cold.checked || starts === "yes") && words.every((word) => text.includes(word));
      card.hidden = !fits;
      shown += fits;
    }
    for (const shelf of shelves) shelf.hidden = !shelf.querySelector(".shelf > li:not([hidden])");
    said.textContent = `${shown} of ${cards.length} strategies`;
  }

  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("reset", () => setTimeout(show));
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
})();
