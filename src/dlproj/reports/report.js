"use strict";
const cellValue = (row, column) => {
  const cell = row.cells[column];
  if (cell.dataset.value === undefined) return cell.textContent.trim();
  return cell.dataset.value === "" ? null : Number(cell.dataset.value);
};

const compare = (a, b) =>
  typeof a === "number" && typeof b === "number"
    ? a - b
    : String(a).localeCompare(String(b), undefined, { numeric: true });

// What a run does not have stays below, whichever way the others are sorted.
const sort = (table, header) => {
  const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const keyed = [...table.tBodies[0].rows].map((row) => [cellValue(row, header.cellIndex), row]);
  keyed.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : sign * compare(a, b)));
  table.tBodies[0].append(...keyed.map(([, row]) => row));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
};

for (const button of document.querySelectorAll("th button"))
  button.addEventListener("click", () => sort(button.closest("table"), button.closest("th")));

// A link into a closed part opens it, and paper has no other way to show what is folded.
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") target.open = true;
};
addEventListener("hashchange", reveal);
reveal();
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const part of closed) part.open = true;
});
addEventListener("afterprint", () => {
  for (const part of closed) part.open = false;
});

// Each card of curves shows the metric that is chosen in it: the others wait in templates.
const drawings = new Map();
for (const holder of document.querySelectorAll("[data-metric]"))
  drawings.set(holder.dataset.metric, (holder.content || holder).querySelector("svg"));
for (const card of document.querySelectorAll(".chosen")) {
  const select = card.querySelector("select");
  const draw = () => card.querySelector("div").replaceChildren(drawings.get(select.value).cloneNode(true));
  card.querySelector("label").hidden = false;
  select.addEventListener("change", draw);
  if (select.value !== card.querySelector("div").dataset.metric) draw(); // a browser keeps choices when it reloads
}
