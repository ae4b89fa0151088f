// The charts: units by two scores, correlations by depth, cumulative ablation.

// Plotly's name of each mark, and the same mark as a letter.
const MARKS = [["circle", "●"], ["triangle-up", "▲"], ["square", "■"], ["diamond", "◆"], ["cross", "✚"], ["triangle-down", "▼"], ["hexagon", "⬢"]];
const MOST_IN_LEGEND = 12;
const TOUCH = matchMedia("(pointer: coarse)").matches;
const SETTINGS = {
  displaylogo: false,
  responsive: true,
  // Only these: Plotly's own choice has a button that sends the data away.
  modeBarButtons: [["select2d", "zoom2d", "pan2d", "resetScale2d", "toImage"]],
  showSendToCloud: false,
  plotlyServerURL: "",
  displayModeBar: TOUCH ? false : "hover",
};

// Plotly takes a little HTML in its texts: names of classes and layers shall be texts.
function plotText(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// Colour and mark of a class or method by its number: pairs that repeat after 49.
function look(number) {
  const round = Math.floor(number / MARKS.length);
  const [symbol, letter] = MARKS[(number + round) % MARKS.length];
  return { color: color(`class-${number % 7}`), symbol, letter };
}

// The classes that have a look of their own: those that most units of the experiment answer most.
const OWN_LOOK = (() => {
  const counts = new Map();
  for (const top of UNITS.top) if (top >= 0) counts.set(top, (counts.get(top) ?? 0) + 1);
  const frequent = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || a - b);
  const own = frequent.length <= MOST_IN_LEGEND ? frequent : frequent.slice(0, MOST_IN_LEGEND - 1);
  return new Map(own.sort((a, b) => a - b).map((top, place) => [top, place]));
})();

// The rank of each number among them, 1 for the smallest, the mean of the ranks for equal ones.
function ranks(values) {
  const order = values.map((_, place) => place).sort((a, b) => values[a] - values[b]);
  const result = new Array(values.length);
  for (let first = 0; first < order.length; ) {
    let last = first;
    while (last + 1 < order.length && values[order[last + 1]] === values[order[first]]) last += 1;
    for (let place = first; place <= last; place += 1) result[order[place]] = (first + last) / 2 + 1;
    first = last + 1;
  }
  return result;
}

function axis(title, more = {}) {
  return {
    title: { text: plotText(title), standoff: 8 },
    gridcolor: color("line"),
    zerolinecolor: color("line"),
    linecolor: color("edge"),
    tickcolor: color("edge"),
    automargin: true,
    ...more,
  };
}

function layout(more) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("ink") },
    // Room for ticks and titles: where Plotly has to make some, it draws everything twice.
    margin: { l: 72, r: 10, t: 30, b: 60 },
    hoverlabel: { bgcolor: color("panel"), bordercolor: color("edge"), font: { color: color("ink") }, align: "left" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: color("muted"), activecolor: color("ink") },
    ...more,
  };
}

// --- units by two scores ------------------------------------------------------------------------------------------

let drawnRows = []; // Rows of the units that are drawn, in the order of `drawnX`.
let drawnX = [];
let drawnY = [];
let drawings = 0;

function drawScatter(rows, view, chosen) {
  const drawn = rows.filter((row) => score(view.x, row) !== null && score(view.y, row) !== null);
  const across = drawn.map((row) => score(view.x, row));
  const up = drawn.map((row) => score(view.y, row));
  drawnRows = drawn;
  drawnX = view.xScale === "rank" ? ranks(across) : across;
  drawnY = view.yScale === "rank" ? ranks(up) : up;
  const groups = new Map();
  drawn.forEach((row, place) => {
    const top = UNITS.top[row];
    const group = top < 0 ? "none" : OWN_LOOK.has(top) ? top : "other";
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(place);
  });
  const size = drawn.length > 1000 ? 5 : drawn.length > 200 ? 7 : 9;
  const order = [...OWN_LOOK.keys(), "other", "none"].filter((group) => groups.has(group));
  drawLegend(order);
  const left = rows.length - drawn.length;
  byId("not-drawn").textContent = left ? notDrawn(rows, view, left) : "";
  // Not read yet: what stands around the plot has its place already.
  if (!window.Plotly) return;
  const traces = order.map((group) => {
    const places = groups.get(group);
    const { color: own, symbol } = lookOf(group);
    return {
      type: "scatter",
      mode: "markers",
      x: places.map((place) => drawnX[place]),
      y: places.map((place) => drawnY[place]),
      customdata: places.map((place) => drawn[place]),
      hovertext: places.map((place) => hoverText(drawn[place], view)),
      hoverinfo: "text",
      marker: { color: own, symbol, size, opacity: 0.75 },
      unselected: { marker: { opacity: 0.15 } },
    };
  });
  traces.push(ring(chosen));
  const scale = (kind, key) => scoreName(key) + (kind === "rank" ? " (rank)" : "");
  Plotly.react(
    "scatter",
    traces,
    layout({
      xaxis: axis(scale(view.xScale, view.x)),
      yaxis: axis(scale(view.yScale, view.y)),
      // A finger that moves over the plot scrolls the page; the range of a score selects as well.
      dragmode: TOUCH ? false : "select",
      hovermode: "closest",
      showlegend: false,
      selections: [],
      // Another view is another plot: nothing of the old zoom or selection stays.
      uirevision: (drawings += 1),
    }),
    SETTINGS,
  );
}

// Look of a class, of all "other" classes, and of units with "none".
function lookOf(group) {
  if (typeof group === "number") return look(OWN_LOOK.get(group));
  return { color: color("muted"), symbol: group === "none" ? "x-thin-open" : "circle-open", letter: group === "none" ? "×" : "○" };
}

function drawLegend(groups) {
  const items = groups.map((group) => {
    const name = group === "other" ? "other classes" : group === "none" ? "none" : className(group);
    const { color: own, letter } = lookOf(group);
    const mark = element("span", { "aria-hidden": "true" }, letter);
    mark.style.color = own;
    return element("li", { title: name }, mark, ` ${name}`);
  });
  byId("legend").hidden = DATA.classes.length === 0;
  byId("legend").replaceChildren(element("li", {}, "Top class"), ...items);
}

function hoverText(row, view) {
  const lines = [unitName(row), ...[view.x, view.y].map((key) => `${scoreName(key)}: ${said(score(key, row))}`)];
  if (UNITS.top[row] >= 0) lines.push(`top class: ${className(UNITS.top[row])}`);
  return lines.concat(states(row)).map(plotText).join("<br>");
}

// Why units are not in the plot.
function notDrawn(rows, view, left) {
  const without = rows.filter((row) => score(view.x, row) === null || score(view.y, row) === null);
  const dead = without.filter((row) => UNITS.dead[row]).length;
  const silent = without.filter((row) => !UNITS.dead[row] && states(row).some((word) => word.startsWith("silent"))).length;
  const imageless = without.filter((row) => !UNITS.dead[row] && states(row).includes("no image")).length;
  const why = [
    [dead, "dead"],
    [silent, "silent on their own image"],
    [imageless, "without an image"],
    [left - dead - silent - imageless, "without one of the two scores"],
  ];
  const parts = why.filter(([count]) => count > 0).map(([count, words]) => `${count} ${words}`);
  return `${left} of ${rows.length} units are not drawn, since a score is undefined: ${parts.join(", ")}.`;
}

function ring(chosen) {
  const place = chosen === null ? -1 : drawnRows.indexOf(chosen);
  return {
    type: "scatter",
    mode: "markers",
    x: place < 0 ? [] : [drawnX[place]],
    y: place < 0 ? [] : [drawnY[place]],
    hoverinfo: "skip",
    showlegend: false,
    marker: { symbol: "circle-open", size: 18, color: color("ink"), line: { width: 2.5 } },
    unselected: { marker: { opacity: 1 } },
  };
}

// Move the ring to another unit without drawing the plot again.
function markChosen(chosen) {
  const plot = byId("scatter");
  if (!plot.data) return;
  const { x, y } = ring(chosen);
  const now = plot.data[plot.data.length - 1];
  // Plotly draws all units again for it.
  if (now.x[0] === x[0] && now.y[0] === y[0]) return;
  Plotly.restyle(plot, { x: [x], y: [y] }, [plot.data.length - 1]);
}

// --- correlation by depth ------------------------------------------------------------------------------------------

// Scores that were correlated with class selectivity, each with the columns of its methods.
function depthScores() {
  if (!SCORES.has("selectivity")) return [];
  const known = new Set(DATA.correlations.filter((one) => one.x === "selectivity").map((one) => one.y));
  const families = DATA.forms.map(({ key, name }) => ({
    name,
    columns: METHODS.map((method) => ({ key: `${key}_${method.key}`, name: method.name })).filter((one) => known.has(one.key)),
  }));
  for (const key of ["ablation_loss", "ablation_loss_mean"].filter((one) => known.has(one) && SCORES.has(one))) {
    families.push({ name: scoreName(key), columns: [{ key, name: scoreName(key) }] });
  }
  return families.filter((family) => family.columns.some(({ key }) => SCORES.has(key)));
}

const BAND = -1.16; // Where correlations that are undefined stand, below the scale.

function drawDepth(family) {
  const count = family.columns.length;
  const traces = [];
  family.columns.forEach(({ key, name }, number) => {
    const shift = (number - (count - 1) / 2) * 0.14;
    const found = LAYERS.map((_, layer) => correlation(layer, "selectivity", key));
    const defined = found.map((one, layer) => ({ one, layer })).filter(({ one }) => one && one.spearman !== null);
    const rest = found.map((one, layer) => ({ one, layer })).filter(({ one }) => one && one.spearman === null);
    const own = look(number);
    traces.push({
      type: "scatter",
      mode: "lines+markers",
      name: plotText(name),
      x: defined.map(({ layer }) => layer + shift),
      y: defined.map(({ one }) => one.spearman),
      error_y: {
        type: "data",
        symmetric: false,
        array: defined.map(({ one }) => (one.high === null ? 0 : one.high - one.spearman)),
        arrayminus: defined.map(({ one }) => (one.low === null ? 0 : one.spearman - one.low)),
        thickness: 1.2,
        width: 3,
      },
      customdata: defined.map(({ layer }) => layer),
      hovertext: defined.map(({ one, layer }) => depthText(one, layer, name)),
      hoverinfo: "text",
      line: { width: 1, dash: number % 2 ? "dot" : "solid", color: own.color },
      // Hollow: no interval.
      marker: { color: own.color, symbol: defined.map(({ one }) => own.symbol + (one.low === null ? "-open" : "")), size: 9 },
    });
    traces.push({
      type: "scatter",
      mode: "markers",
      x: rest.map(({ layer }) => layer + shift),
      y: rest.map(() => BAND),
      customdata: rest.map(({ layer }) => layer),
      hovertext: rest.map(({ one, layer }) => depthText(one, layer, name)),
      hoverinfo: "text",
      showlegend: false,
      marker: { symbol: "x-thin-open", size: 8, color: own.color, line: { width: 2 } },
    });
  });
  Plotly.react(
    "depth",
    traces,
    layout({
      xaxis: axis("layer", {
        tickvals: LAYERS.map((_, layer) => layer),
        ticktext: LAYERS.map((layer) => plotText(layer.name)),
        range: [-0.5, LAYERS.length - 0.5],
        showgrid: false,
        zeroline: false,
      }),
      yaxis: axis("Spearman’s ρ", { range: [-1.28, 1.08], tickvals: [-1, -0.5, 0, 0.5, 1] }),
      dragmode: false,
      hovermode: "closest",
      showlegend: count > 1,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      shapes: [
        { type: "rect", xref: "paper", x0: 0, x1: 1, y0: -1.28, y1: -1.05, fillcolor: color("panel"), line: { width: 0 }, layer: "below" },
        { type: "line", xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0, line: { width: 1, color: color("edge") }, layer: "below" },
      ],
      annotations: [{ xref: "paper", x: 1, y: BAND, text: "undefined", showarrow: false, xanchor: "right", font: { color: color("muted"), size: 11 } }],
    }),
    { ...SETTINGS, displayModeBar: false },
  );
  fillDepthTable(family);
}

function depthText(one, layer, name) {
  const value = one.spearman === null ? `undefined: ${one.reason}` : `ρ = ${said(one.spearman, 2)}, ${interval(one)}`;
  return [LAYERS[layer].name, name, value, `n = ${one.n}`].map(plotText).join("<br>");
}

function fillDepthTable(family) {
  const heads = ["layer", "method", "ρ", "95 % interval", "p", "n", "why not"];
  byId("depth-table").tHead.replaceChildren(element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head))));
  const lines = LAYERS.flatMap((layer, number) =>
    family.columns.map(({ key, name }) => {
      const one = correlation(number, "selectivity", key);
      if (!one) return null;
      const cells = [layer.name, name, said(one.spearman, 2), interval(one), said(one.p, 2), String(one.n), one.reason];
      return element("tr", {}, ...cells.map((cell) => element("td", {}, cell)));
    }),
  );
  byId("depth-table").tBodies[0].replaceChildren(...lines.filter((line) => line !== null));
}

// --- cumulative ablation ---------------------------------------------------------------------------------------------

const TOGETHER = "all layers together";
const RANDOM = "random";

function curveLayer(one) {
  return one.layer === "" ? TOGETHER : one.layer;
}

// The curves of a choice: by the score in both directions, and the random orders.
function chosenCurves({ layer, score, clamp }) {
  return DATA.cumulative.filter((one) => curveLayer(one) === layer && one.clamp === clamp && (one.score === score || one.score === RANDOM));
}

function drawCumulative(choice) {
  const traces = [];
  const curves = chosenCurves(choice);
  const grey = color("muted");
  for (const one of curves.filter((curve) => curve.score === RANDOM)) {
    const percent = (values) => values.map((value) => 100 * value);
    const shared = { type: "scatter", mode: "lines", x: percent(one.fraction), hoverinfo: "skip", showlegend: false };
    if (one.low) {
      traces.push({ ...shared, y: percent(one.low), line: { width: 0 } });
      traces.push({ ...shared, y: percent(one.high), line: { width: 0 }, fill: "tonexty", fillcolor: color("line") });
    }
    traces.push({ ...shared, y: percent(one.accuracy), name: "random orders", showlegend: true, hoverinfo: "x+y", line: { width: 1.5, color: grey } });
  }
  curves
    .filter((curve) => curve.score !== RANDOM)
    .forEach((one, number) => {
      const own = look(number);
      traces.push({
        type: "scatter",
        mode: "lines+markers",
        name: plotText(one.direction),
        x: one.fraction.map((value) => 100 * value),
        y: one.accuracy.map((value) => 100 * value),
        hovertemplate: "%{y:.1f} % right without %{x:.0f} % of the units<extra></extra>",
        line: { width: 1.5, dash: number % 2 ? "dot" : "solid", color: own.color },
        marker: { color: own.color, symbol: own.symbol, size: 8 },
      });
    });
  Plotly.react(
    "cumulative",
    traces,
    layout({
      xaxis: axis("units removed, %", { range: [-2, 102], zeroline: false }),
      yaxis: axis("accuracy, %", { rangemode: "tozero" }),
      dragmode: false,
      hovermode: "closest",
      showlegend: true,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    }),
    { ...SETTINGS, displayModeBar: false },
  );
  const heads = ["order", ...(curves[0]?.fraction ?? []).map((value) => `${said(100 * value, 3)} %`)];
  byId("cumulative-table").tHead.replaceChildren(element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head))));
  byId("cumulative-table").tBodies[0].replaceChildren(
    ...curves.map((one) => {
      const name = one.score === RANDOM ? "random orders, mean" : `${one.score}, ${one.direction}`;
      return element("tr", {}, element("td", {}, name), ...one.accuracy.map((value) => element("td", {}, said(value, 3))));
    }),
  );
}
