/* Long tables that a reader can sort and search.

A table of more rows than LONG gets a search field above it, and a button in
each heading that sorts by it: up, down, and back as it was. The rows stay
those of the page, so that without this script the table is what it was.
The ledger of claims has filters of its own and gets the buttons alone.
itables would ask another site for its script, or put it into every page.
*/
(() => {
  const LONG = 15; // as book/chapters.py folds
  // "−0.12 [−0.20, −0.04]" and "< 0.001" are numbers, "000-R-09" is a name
  const NUMBER = /^[<>≤≥±|]?\s*([+\-−]?(?:\d[\d,]*)?\.?\d+(?:e[+-]?\d+)?)(?![\w-])/i;
  const MISSING = new Set(["", "–", "—", "-", "nan", "NaN"]);
  const WORDS = new Intl.Collator("en", { numeric: true });

  const text = (cell) => cell.textContent.replace(/\s+/g, " ").trim();

  const number = (words) => {
    const found = NUMBER.exec(words);
    return found && Number(found[1].replace("−", "-").replace(/,/g, ""));
  };

  const element = (...parts) => drawing.element(...parts);

  /* The values of a column, with what compares two of them. */
  const column = (rows, place) => {
    const words = rows.map((row) => text(row.cells[place]));
    const values = words.map((word) => (MISSING.has(word) ? null : word));
    const numbers = values.map((word) => word && number(word));
    if (numbers.every((value, i) => value !== null || values[i] === null)) {
      return { values: numbers, compare: (a, b) => a - b };
    }
    return { values, compare: WORDS.compare };
  };

  /* Rows by a column; what is missing stands last, whichever way. */
  const ordered = (rows, place, way) => {
    const { values, compare } = column(rows, place);
    const order = rows.map((_, i) => i).sort((i, j) => {
      if (values[i] === null || values[j] === null) {
        return (values[i] === null) - (values[j] === null) || i - j;
      }
      return way * compare(values[i], values[j]) || i - j;
    });
    return order.map((i) => rows[i]);
  };

  const sortable = (headings, body, rows) => {
    const next = { none: "ascending", ascending: "descending" };
    headings.forEach((heading, place) => {
      const name = text(heading);
      if (!name) return;
      const button = element("button", { type: "button", className: "sort" });
      button.setAttribute("aria-label", `sort by ${name}`);
      // never alone on a line
      (heading.querySelector("p") || heading).append("\u00a0", button);
      heading.classList.add("sortable");
      heading.addEventListener("click", (event) => {
        if (event.target.closest("a")) return;
        const state = heading.getAttribute("aria-sort") || "none";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        const way = next[state];
        if (way) heading.setAttribute("aria-sort", way);
        const sign = way === "descending" ? -1 : 1;
        body.append(...(way ? ordered(rows, place, sign) : rows));
      });
    });
  };

  const searchable = (table, rows) => {
    const field = element("input", { type: "search" });
    const count = element("output", {}, `${rows.length} rows`);
    const found = rows.map((row) => text(row).toLowerCase());
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/);
      let shown = 0;
      rows.forEach((row, i) => {
        row.hidden = !words.every((word) => found[i].includes(word));
        shown += !row.hidden;
      });
      const all = shown === rows.length;
      count.value = all ? `${shown} rows` : `${shown} of ${rows.length} rows`;
    });
    const box = table.closest(".pst-scrollable-table-container") || table;
    const label = element("label", {}, "search ", field);
    box.before(element("p", { className: "table-tools" }, label, " ", count));
  };

  const prepare = (table) => {
    const [body] = table.tBodies;
    const rows = body ? [...body.rows] : [];
    if (rows.length <= LONG || !table.tHead) return;
    // of cells over several rows none can move alone
    if (body.querySelector('[rowspan]:not([rowspan="1"])')) return;
    const isWhole = ({ cells }) => cells.length === rows[0].cells.length;
    const headings = [...table.tHead.rows].find(isWhole);
    if (headings) sortable([...headings.cells], body, rows);
    if (!table.classList.contains("ledger")) searchable(table, rows);
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".bd-article table").forEach(prepare);
  });
})();
