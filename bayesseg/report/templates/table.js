"use strict";
const collator = new Intl.Collator(document.documentElement.lang, { numeric: true });
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows].map((row) => ({
    row,
    texts: [...row.cells].map((cell) => cell.textContent),
    keys: [...row.cells].map((cell) => cell.dataset.sort ?? cell.textContent),
  }));
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const number = head.classList.contains("number") || rows.every(({ keys }) => !isNaN(keys[column]));
    const missing = ({ keys }) => number && isNaN(parseFloat(keys[column]));
    const order = number ? (a, b) => a - b : collator.compare;
    rows.sort((a, b) =>
      missing(a) - missing(b) || (down ? -1 : 1) * order(a.keys[column], b.keys[column]));
    body.append(...rows.map(({ row }) => row));
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  }));
  const controls = document.querySelector(`[data-filters="${table.id}"]`);
  const input = controls.querySelector("input"), output = controls.querySelector("output");
  const choices = [...controls.querySelectorAll("select")];
  const filter = () => {
    const wanted = input.value.trim().toLocaleLowerCase();
    let shown = 0;
    for (const { row, texts } of rows) {
      const here = texts.some((text) => text.toLocaleLowerCase().includes(wanted))
        && choices.every(({ value, dataset }) => !value || texts[dataset.column] === value);
      row.hidden = !here;
      shown += here;
    }
    output.textContent = output.dataset.rows.replace("{n}", shown).replace("{m}", rows.length);
  };
  controls.addEventListener("input", filter);
  controls.hidden = false;
  filter();
}
const scrolls = new ResizeObserver((seen) => seen.forEach(({ target }) => {
  const more = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
  more ? target.setAttribute("tabindex", 0) : target.removeAttribute("tabindex");
}));
document.querySelectorAll(".scroll").forEach((one) => scrolls.observe(one));
