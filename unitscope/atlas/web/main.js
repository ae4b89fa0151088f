// What is looked at, and how it is changed: by controls, by keys, by the address.

const ALL = -1;
const MOST_AT_ONCE = 2000; // Units: of more, the first layer is looked at first, which is sooner there.
const view = {
  layer: LAYERS.length === 1 ? 0 : ALL,
  x: "",
  y: "",
  xScale: "linear",
  yScale: "linear",
  top: "",
  state: "",
  rangeScore: "",
  low: null,
  high: null,
  everyScore: false,
  sort: { key: "unit", descending: false },
  page: 0,
};
let chosen = null;
let brushed = null; // Rows that are selected in the plot; null where nothing is.

// --- what is shown ---------------------------------------------------------------------------------------------------

function passes(row) {
  if (view.layer !== ALL && UNITS.layer[row] !== view.layer) return false;
  if (view.top !== "" && UNITS.top[row] !== Number(view.top)) return false;
  if (view.state === "dead" && !UNITS.dead[row]) return false;
  if (view.state === "living" && UNITS.dead[row]) return false;
  if (view.state === "silent" && !METHODS.some(({ key }) => isSilent(row, key))) return false;
  if (view.low === null && view.high === null) return true;
  const value = score(view.rangeScore, row);
  return value !== null && (view.low === null || value >= view.low) && (view.high === null || value <= view.high);
}

function shownRows() {
  return UNITS.unit.map((_, row) => row).filter(passes);
}

function listedRows() {
  const rows = shownRows();
  return sorted(brushed === null ? rows : rows.filter((row) => brushed.has(row)), view.sort);
}

// Draw everything that depends on the view; a selection in the plot belongs to the plot as it was.
function refresh() {
  brushed = null;
  view.page = 0;
  drawScatter(shownRows(), view, chosen);
  drawCorrelation();
  refreshTable();
}

function refreshTable() {
  const rows = listedRows();
  drawTable(rows, view, chosen);
  const all = view.layer === ALL ? UNITS.unit.length : LAYERS[view.layer].units;
  byId("counted").textContent = `${rows.length} of ${all} units` + (brushed === null ? "" : ", selected in the plot");
  byId("clear-brush").hidden = brushed === null;
}

function drawCorrelation() {
  const place = byId("correlation");
  const pair = element("p", { class: "note" }, `${scoreName(view.x)} and ${scoreName(view.y)}`);
  if (view.layer === ALL) {
    const found = LAYERS.map((layer, number) => [layer.name, correlation(number, view.x, view.y)]).filter(([, one]) => one);
    const list = element("dl", {});
    for (const [name, one] of found) list.append(element("dt", {}, name), element("dd", {}, said(one.spearman, 2)));
    const word = found.length ? "Within each layer, never over all:" : "This pair was not correlated.";
    place.replaceChildren(pair, element("p", { class: "note" }, word), list);
    return;
  }
  const one = correlation(view.layer, view.x, view.y);
  if (!one) {
    place.replaceChildren(pair, element("p", { class: "note" }, "This pair was not correlated."));
    return;
  }
  const list = element("dl", {});
  const rows = one.spearman === null ? [["n", one.n]] : [["95 %", interval(one)], ["p", said(one.p, 2)], ["n", one.n]];
  // What the reliability of an ablation loss allows.
  if (one.spearman !== null && one.ceiling !== null) rows.splice(1, 0, ["ceiling", said(one.ceiling, 2)]);
  for (const [name, value] of rows) list.append(element("dt", {}, name), element("dd", {}, String(value)));
  const reason = one.reason ? element("p", { class: "note" }, `${one.reason}.`) : "";
  const untestable = one.untestable ? element("p", { class: "note" }, `The absence of a correlation is ${one.untestable}.`) : "";
  const note = element("p", { class: "note" }, "Over the layer’s living units, whatever is filtered.");
  place.replaceChildren(pair, element("p", { class: "figure" }, said(one.spearman, 2)), list, reason, untestable, note);
}

// Look at another layer.
function show(layer) {
  view.layer = layer;
  byId("layer").value = layer;
  refresh();
  followLayer();
}

// --- the chosen unit -------------------------------------------------------------------------------------------------

function choose(row) {
  chosen = row;
  if (row !== null && view.layer !== ALL && view.layer !== UNITS.layer[row]) show(UNITS.layer[row]);
  drawUnit(row);
  markChosen(row);
  markChosenRow(row);
  document.title = row === null ? `Atlas of ${DATA.experiment}` : `${unitName(row)}, atlas of ${DATA.experiment}`;
}

// The unit that comes so many places behind the chosen one in the table.
function step(by) {
  const rows = listedRows();
  if (!rows.length) return;
  const now = rows.indexOf(chosen);
  const next = now < 0 ? 0 : Math.min(Math.max(now + by, 0), rows.length - 1);
  const page = Math.floor(next / ROWS_ON_PAGE);
  if (page !== view.page) {
    view.page = page;
    drawTable(rows, view, chosen);
  }
  if (rows[next] !== chosen) location.hash = address(rows[next]);
}

function follow() {
  const [layerText, unitText] = location.hash.slice(1).split("/");
  let name = layerText;
  try {
    name = decodeURIComponent(layerText);
  } catch {
    // A broken address is one that names nothing.
  }
  const layer = LAYERS.findIndex((one) => one.name === name);
  const row = unitText === undefined || unitText === "" ? -1 : rowOf(layer, Number(unitText));
  byId("search-said").textContent = name && (layer < 0 || (unitText && row < 0)) ? `There is no unit ${location.hash.slice(1)}.` : "";
  // An address without a unit names what is looked at: a layer, or all of them.
  if (row < 0 && (layer >= 0 || !name) && view.layer !== layer && LAYERS.length > 1) show(layer);
  choose(row < 0 ? null : row);
  if (row >= 0) reveal();
}

// Where the unit stands below the plot, go there.
function reveal() {
  const box = byId("unit").getBoundingClientRect();
  if (box.top > innerHeight - 120 || box.bottom < 120) byId("unit").scrollIntoView();
}

function close() {
  if (chosen !== null) location.hash = layerAddress();
}

function layerAddress() {
  return view.layer === ALL ? "" : `#${encodeURIComponent(LAYERS[view.layer].name)}`;
}

function search(text) {
  const parts = text.trim().split(/[\s/]+/);
  const number = Number(parts.pop());
  const named = parts.join("/");
  const layer = named ? LAYERS.findIndex((one) => one.name === named) : view.layer === ALL ? (chosen === null ? 0 : UNITS.layer[chosen]) : view.layer;
  const row = text.trim() === "" ? -1 : rowOf(layer, number);
  if (row < 0) {
    const where = layer < 0 ? `There is no layer ${named}.` : `${LAYERS[layer].name} has units 0 to ${LAYERS[layer].units - 1}.`;
    byId("search-said").textContent = where;
    return;
  }
  location.hash = address(row);
}

// --- controls --------------------------------------------------------------------------------------------------------

function fill(id, options) {
  byId(id).replaceChildren(...options.map(([value, name]) => element("option", { value }, name)));
}

function number(text) {
  const value = Number(text.trim().replace(",", ".").replace(MINUS, "-"));
  return text.trim() === "" || !Number.isFinite(value) ? null : value;
}

function setUp() {
  const scores = DATA.scores.map(({ key, name }) => [key, name]);
  const layers = LAYERS.map((layer, place) => [place, `${layer.name} (${layer.units} units${layer.dead ? `, ${layer.dead} dead` : ""})`]);
  fill("layer", LAYERS.length === 1 ? layers : [[ALL, `all ${LAYERS.length} layers`], ...layers]);
  const preferred = METHODS.map(({ key }) => `rs_${key}`).sort((a, b) => Number(b === "rs_iam") - Number(a === "rs_iam"));
  const defaults = [["selectivity", ...preferred, "activation_mean"], [...preferred, "ablation_loss", "selectivity", "activation_mean"]];
  for (const [id, wanted] of [["x", defaults[0]], ["y", defaults[1]]]) {
    fill(id, scores);
    view[id] = wanted.find((key) => SCORES.has(key) && key !== (id === "y" ? view.x : null)) ?? (DATA.scores.find(({ key }) => key !== view.x) ?? DATA.scores[0]).key;
    byId(id).value = view[id];
  }
  fill("range-score", scores);
  view.rangeScore = view.x;
  byId("range-score").value = view.rangeScore;
  const tops = [...new Set(UNITS.top)].filter((top) => top >= 0).sort((a, b) => a - b);
  fill("top", [["", "any"], ...tops.map((top) => [top, className(top)])]);
  byId("top-label").hidden = tops.length === 0;

  const bindings = { x: "x", y: "y", "x-scale": "xScale", "y-scale": "yScale", top: "top", state: "state", "range-score": "rangeScore" };
  for (const [id, key] of Object.entries(bindings)) {
    byId(id).addEventListener("change", () => {
      view[key] = byId(id).value;
      refresh();
    });
  }
  byId("layer").addEventListener("change", () => {
    view.layer = Number(byId("layer").value);
    refresh();
    followLayer();
    // A unit of another layer is no longer looked at.
    if (chosen === null || (view.layer !== ALL && UNITS.layer[chosen] !== view.layer)) location.hash = layerAddress();
  });
  for (const id of ["low", "high"]) {
    byId(id).addEventListener("input", () => {
      view[id] = number(byId(id).value);
      refresh();
    });
  }
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => {
    Object.assign(view, { top: "", state: "", low: null, high: null, rangeScore: view.x, everyScore: false });
    // Once the controls are as they were.
    setTimeout(() => {
      byId("range-score").value = view.rangeScore;
      refresh();
    });
  });
  byId("every-score").addEventListener("change", () => {
    view.everyScore = byId("every-score").checked;
    refreshTable();
  });
  byId("clear-brush").addEventListener("click", refresh);
  byId("table").tHead.addEventListener("click", (event) => {
    const key = event.target.closest("button")?.dataset.sort;
    if (!key) return;
    // Numbers from the largest on, names from the first.
    const first = SCORES.has(key);
    view.sort = { key, descending: view.sort.key === key ? !view.sort.descending : first };
    view.page = 0;
    refreshTable();
  });
  byId("page-back").addEventListener("click", () => turn(-1));
  byId("page-on").addEventListener("click", () => turn(1));
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    search(byId("search-text").value);
  });
  byId("unit-before").addEventListener("click", () => step(-1));
  byId("unit-after").addEventListener("click", () => step(1));
  byId("unit-close").addEventListener("click", close);
  document.querySelector("[data-skip]").addEventListener("click", (event) => {
    // The address names units; it shall not name this.
    event.preventDefault();
    byId("explore").focus();
  });
}

function turn(by) {
  view.page += by;
  refreshTable();
}

function setUpKeys() {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !byId("keys").checked) return;
    const field = event.target.closest?.("input, select, textarea");
    if (event.key === "Escape") {
      if (field) field.blur();
      else close();
      return;
    }
    // What can be scrolled sideways keeps its arrows.
    if (field || event.target.matches?.(".scroll")) return;
    const act = { ArrowRight: () => step(1), j: () => step(1), ArrowLeft: () => step(-1), k: () => step(-1), "/": () => byId("search-text").focus() }[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
}

function setUpCharts() {
  drawScatter(shownRows(), view, chosen);
  const plot = byId("scatter");
  plot.on("plotly_click", ({ points }) => {
    if (points[0]?.customdata !== undefined) location.hash = address(points[0].customdata);
  });
  plot.on("plotly_selected", (event) => {
    brushed = event && event.points.length ? new Set(event.points.map((point) => point.customdata).filter((row) => row !== undefined)) : null;
    view.page = 0;
    refreshTable();
  });
  plot.on("plotly_deselect", () => {
    brushed = null;
    refreshTable();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawScatter(shownRows(), view, chosen));
  // The page can be used before what stands further down is drawn.
  requestAnimationFrame(() => setTimeout(setUpLowerCharts));
}

function setUpLowerCharts() {
  setUpCumulative();
  const families = depthScores();
  byId("depth-section").hidden = families.length === 0;
  if (families.length === 0) return;
  fill("depth-score", families.map(({ name }, place) => [place, name]));
  const draw = () => drawDepth(families[Number(byId("depth-score").value)]);
  byId("depth-score").addEventListener("change", draw);
  draw();
  byId("depth").on("plotly_click", ({ points }) => {
    location.hash = `#${encodeURIComponent(LAYERS[points[0].customdata].name)}`;
    byId("explore").scrollIntoView();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

const CURVE_CHOICES = ["layer", "score", "clamp"];

function setUpCumulative() {
  if (!DATA.cumulative.length) return;
  const found = { layer: new Set(), score: new Set(), clamp: new Set() };
  for (const one of DATA.cumulative) {
    found.layer.add(curveLayer(one));
    found.clamp.add(one.clamp);
    if (one.score !== RANDOM) found.score.add(one.score);
  }
  for (const key of CURVE_CHOICES) {
    fill(`cumulative-${key}`, [...found[key]].map((name) => [name, name]));
    byId(`cumulative-${key}`).addEventListener("change", redrawCumulative);
  }
  if (found.layer.has(TOGETHER)) byId("cumulative-layer").value = TOGETHER;
  followLayer();
  redrawCumulative();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawCumulative);
}

function redrawCumulative() {
  drawCumulative(Object.fromEntries(CURVE_CHOICES.map((key) => [key, byId(`cumulative-${key}`).value])));
}

// The layer that is looked at is the one whose units are removed.
function followLayer() {
  if (!DATA.cumulative.length || view.layer === ALL) return;
  const select = byId("cumulative-layer");
  // Not set up yet, which then follows by itself.
  if (select.options.length === 0) return;
  if (select.value === LAYERS[view.layer].name) return;
  select.value = LAYERS[view.layer].name;
  if (select.value === "") select.selectedIndex = 0;
  redrawCumulative();
}

setUp();
if (!location.hash && LAYERS.length > 1 && UNITS.unit.length > MOST_AT_ONCE) {
  view.layer = 0;
  byId("layer").value = 0;
  history.replaceState(null, "", layerAddress());
}
refresh();
setUpKeys();
addEventListener("hashchange", follow);
follow();
// Plotly takes longer than all the rest of the page, which is in use before it.
requestAnimationFrame(() =>
  setTimeout(() => {
    performance.mark("units shown");
    document.head.append(element("script", {}, byId("plotly").textContent));
    setUpCharts();
    requestAnimationFrame(() => setTimeout(() => performance.mark("plot shown")));
  }),
);
