// The table of units: sorted, a page at a time.

const ROWS_ON_PAGE = 40;

function columnKeys(every) {
  return DATA.scores.filter((one) => every || one.main).map((one) => one.key);
}

// What a column sorts by; null is what is undefined, and comes last either way.
function sortValue(key, row) {
  if (key === "unit") return row;
  if (key === "top") return UNITS.top[row] < 0 ? null : UNITS.top[row];
  if (key === "state") return states(row).join(", ") || null;
  return score(key, row);
}

function sorted(rows, { key, descending }) {
  const sign = descending ? -1 : 1;
  const values = new Map(rows.map((row) => [row, sortValue(key, row)]));
  return [...rows].sort((a, b) => {
    const [first, second] = [values.get(a), values.get(b)];
    if (first === second) return a - b;
    if (first === null) return 1;
    if (second === null) return -1;
    return first < second ? -sign : sign;
  });
}

function drawTable(rows, view, chosen) {
  const heads = [["unit", "unit"], ["state", "state"]];
  if (DATA.classes.length) heads.push(["top", "top class"]);
  const keys = columnKeys(view.everyScore);
  for (const key of keys) heads.push([key, scoreName(key)]);
  const first = view.page * ROWS_ON_PAGE;
  const focused = document.activeElement?.dataset?.sort;
  byId("table").tHead.replaceChildren(element("tr", {}, ...heads.map((head) => headCell(head, view.sort))));
  byId("table").tBodies[0].replaceChildren(
    ...rows.slice(first, first + ROWS_ON_PAGE).map((row) => tableRow(row, keys, row === chosen)),
  );
  if (focused) document.querySelector(`#table button[data-sort="${CSS.escape(focused)}"]`)?.focus();
  const pages = Math.max(1, Math.ceil(rows.length / ROWS_ON_PAGE));
  byId("page-now").textContent = `Page ${view.page + 1} of ${pages}`;
  byId("page-back").disabled = view.page === 0;
  byId("page-on").disabled = view.page + 1 >= pages;
}

function headCell([key, name], sort) {
  const sorts = sort.key === key;
  const arrow = sorts ? (sort.descending ? " ▼" : " ▲") : "";
  const order = sorts ? (sort.descending ? "descending" : "ascending") : "none";
  const button = element("button", { type: "button", "data-sort": key }, name);
  if (arrow) button.append(element("span", { "aria-hidden": "true" }, arrow));
  return element("th", { scope: "col", "aria-sort": order, class: SCORES.has(key) ? "number" : null }, button);
}

function tableRow(row, keys, isChosen) {
  const link = element("a", { href: address(row), "aria-current": isChosen ? "true" : null }, unitName(row));
  const cells = [element("td", {}, link), element("td", {}, states(row).join(", "))];
  if (DATA.classes.length) cells.push(element("td", {}, className(UNITS.top[row])));
  for (const key of keys) {
    const value = score(key, row);
    cells.push(element("td", { class: value === null ? "number undefined" : "number" }, inColumn(value)));
  }
  return element("tr", { "data-row": row, class: isChosen ? "chosen" : null }, ...cells);
}

// Mark another unit as the chosen one without filling the table again.
function markChosenRow(chosen) {
  for (const line of byId("table").tBodies[0].rows) {
    const isChosen = Number(line.dataset.row) === chosen;
    line.classList.toggle("chosen", isChosen);
    if (isChosen) line.querySelector("a").setAttribute("aria-current", "true");
    else line.querySelector("a").removeAttribute("aria-current");
  }
}
