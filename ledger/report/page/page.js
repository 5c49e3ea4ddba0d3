"use strict";
(() => {
  const { figures, templates } = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const print = matchMedia("print");
  const coarse = matchMedia("(pointer: coarse)").matches;
  const settings = {
    responsive: true,
    displaylogo: false,
    showSendToCloud: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    // a finger that scrolls the page does not zoom into a plot, and has no use for tiny buttons
    ...(coarse ? { displayModeBar: false } : {}),
  };
  const divs = Object.keys(figures).map((id) => document.getElementById(id));
  const template = () => templates[dark.matches && !print.matches ? "dark" : "light"];

  for (const div of divs) {
    const { data, layout } = figures[div.id];
    if (data[0].type === "parcoords") div.style.setProperty("--axes", data[0].dimensions.length);
    Plotly.newPlot(div, data, { ...layout, template: template(), dragmode: coarse ? false : "zoom" }, settings);
  }

  dark.addEventListener("change", () => {
    for (const div of divs) Plotly.relayout(div, { template: template() });
  });
  // the width of the paper is known only once the print's styles are applied
  print.addEventListener("change", () => {
    for (const div of divs) {
      const width = print.matches ? div.clientWidth : null;
      Plotly.relayout(div, { template: template(), width, autosize: !print.matches });
    }
  });

  const table = document.querySelector("table.sorted");
  const heads = table ? [...table.tHead.rows[0].cells] : [];
  const compare = (a, b, index, sign) => {
    const [first, second] = [a.cells[index], b.cells[index]];
    // empty cells stay at the bottom
    if (!first.textContent || !second.textContent) return !first.textContent - !second.textContent;
    const numbers = [first.dataset.number, second.dataset.number];
    if (numbers.every((number) => number !== undefined)) return sign * (numbers[0] - numbers[1]);
    return sign * first.textContent.localeCompare(second.textContent);
  };
  heads.forEach((head, index) => head.addEventListener("click", () => {
    const sign = head.ariaSort === "ascending" ? -1 : 1;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => compare(a, b, index, sign)));
  }));
  document.documentElement.dataset.drawn = divs.length;
})();
