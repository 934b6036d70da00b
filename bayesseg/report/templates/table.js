"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const input = document.querySelector(`[data-filters="${table.id}"]`);
  const output = input.closest("p").querySelector("output");
  const key = (row, column) => row.cells[column].dataset.sort;
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const number = head.classList.contains("number") || rows.every((row) => !isNaN(key(row, column)));
    rows.sort((a, b) => {
      const [x, y] = [key(a, column), key(b, column)];
      const order = number ? Number(x) - Number(y) : x.localeCompare(y);
      return down ? -order : order;
    });
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows);
  }));
  const filter = () => {
    const wanted = input.value.trim().toLocaleLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLocaleLowerCase().includes(wanted);
      shown += !row.hidden;
    }
    output.textContent = output.dataset.rows.replace("{n}", shown).replace("{m}", rows.length);
  };
  input.addEventListener("input", filter);
  input.closest("p").hidden = false;
  filter();
}
