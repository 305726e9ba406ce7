// A table of problems or layers: sorted by a column, filtered by words and by verdict.

const SEVERITY = ["FAIL", "ERROR", "SUSPECT", "MISTRUSTED", "PASS"];
const table = document.getElementById("roll");
const body = table.tBodies[0];
const rows = [...body.rows];
const [words, verdicts, count] = ["words", "verdicts", "count"].map((id) => document.getElementById(id));
const verdictOf = (row) => row.cells[0].textContent;
const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

/** What a row is sorted by in a column: how bad its verdict is, a number, or a text. */
function keyOf(row, column) {
  const text = row.cells[column].querySelector("summary")?.textContent ?? row.cells[column].textContent;
  if (column === 0) return SEVERITY.indexOf(text);
  if (!row.cells[column].classList.contains("number")) return text;
  const value = text === "inf" ? Infinity : Number(text.replaceAll(",", ""));
  return Number.isNaN(value) ? -Infinity : value;
}

/** Sort by a column; a second time the other way round. Numbers begin with the largest. */
function sortBy(head) {
  const column = head.cellIndex;
  const isNumber = head.classList.contains("number");
  const now = head.getAttribute("aria-sort");
  const down = now ? now === "ascending" : isNumber;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const keys = new Map(rows.map((row) => [row, keyOf(row, column)]));
  const order = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", {numeric: true}) : a < b ? -1 : Number(a > b));
  body.append(...[...rows].sort((a, b) => (down ? -1 : 1) * order(keys.get(a), keys.get(b))));
}

/** Show the rows that have every word and the verdict. */
function filter() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const fits = wanted.every((word) => texts.get(row).includes(word)) && (!verdicts.value || verdictOf(row) === verdicts.value);
    row.hidden = !fits;
    shown += fits;
  }
  count.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
}

for (const head of table.tHead.rows[0].cells) {
  const button = Object.assign(document.createElement("button"), {type: "button", textContent: head.textContent});
  button.addEventListener("click", () => sortBy(head));
  head.replaceChildren(button);
}
words.addEventListener("input", filter);
verdicts.addEventListener("change", filter);
document.getElementById("tools").hidden = false;
filter();
