"use strict";
// Fills each suite and draws each figure when it comes near the window, from the JSON beside it. Labels are text: they are set as textContent,
// and escaped for Plotly, which reads a little HTML.

const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]; // Okabe, Ito 2008; the yellow is too pale
const DASHES = ["solid", "dash", "dot", "dashdot"];
const HATCHES = { solid: "", dash: "/", dot: ".", dashdot: "x" }; // of bars, which have no dashes
const GREY = "#808080"; // seen on white and on black
const UNWANTED = ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "sendChartToCloud"]; // buttons of Plotly's
const AXES = { steps: "steps", cost: "cost in gradients", seconds: "seconds" };
const labels = []; // of optimizers, over all suites
const hidden = new Set(); // labels
const plots = new Set(); // elements that are drawn
const waiting = new Map(); // elements, and what is to be done once they come near the window
const media = matchMedia("(prefers-color-scheme: dark)");
const near = new IntersectionObserver((entries) => {
  for (const { target } of entries.filter((entry) => entry.isIntersecting)) arrive(target);
}, { rootMargin: "300px" });

function whenNear(target, act) {
  waiting.set(target, act);
  near.observe(target);
}

function arrive(target) {
  const act = waiting.get(target);
  near.unobserve(target);
  waiting.delete(target);
  if (!target.hidden) act();
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function escaped(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function look(label) {
  const i = labels.indexOf(label);
  return { colour: COLOURS[i % COLOURS.length], dash: DASHES[Math.floor(i / COLOURS.length) % DASHES.length] };
}

// -- figures ----------------------------------------------------------------------------------------------------------

function line(label, x, y, more = {}) {
  const { colour, dash } = look(label);
  return {
    x, y, type: "scatter", mode: "lines", name: escaped(label), meta: label, showlegend: false,
    line: { color: colour, dash, width: 2, ...more.line }, hovertemplate: "%{fullData.name}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
    ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== "line")),
  };
}

function band(label, x, low, high) {
  const there = x.map((_, i) => i).filter((i) => x[i] !== null && low[i] !== null && high[i] !== null);
  const back = [...there].reverse();
  return line(label, [...there.map((i) => x[i]), ...back.map((i) => x[i])],
    [...there.map((i) => high[i]), ...back.map((i) => low[i])],
    { fill: "toself", fillcolor: look(label).colour + "2b", line: { width: 0 }, hoverinfo: "skip", hovertemplate: null });
}

function switches(label, curve, at) {
  const before = curve.x.findLastIndex((x) => x !== null && x <= at);
  const y = curve.mid[Math.max(before, 0)];
  return line(label, [at], [y], { mode: "markers", marker: { symbol: "diamond-open", size: 12, color: look(label).colour,
    line: { width: 3 } }, hovertemplate: "%{fullData.name} switches<br>%{x:.4g}<extra></extra>" });
}

function banded(data, shown, axis, name) {
  return shown.filter((run) => run[name]).flatMap((run) => {
    const label = data.optimizers[run.o];
    const curve = { ...run[name], x: run[name][axis] };
    const traces = [band(label, curve.x, curve.low, curve.high), line(label, curve.x, curve.mid)];
    return run.switch ? [...traces, switches(label, curve, run.switch[axis])] : traces;
  });
}

function positive(traces) {
  return traces.every((trace) => trace.y.every((y) => y === null || y > 0));
}

function points(data, shown) {
  const found = shown.filter((run) => run.points);
  const law = found.find((run) => run.theory);
  return [...found.map((run) => line(data.optimizers[run.o], run.points.x, run.points.y, { mode: "markers",
    marker: { color: look(data.optimizers[run.o]).colour, size: 7, opacity: 0.8 } })), ...(law ? [theory(law.theory)] : [])];
}

function ink() {
  return getComputedStyle(document.documentElement).getPropertyValue("--faint").trim();
}

function theory({ x, y }, width = 2) {
  return { x, y, type: "scatter", mode: "lines", name: "theory", showlegend: false, line: { color: ink(), width },
    hovertemplate: "theory<br>%{x:.4g}, %{y:.4g}<extra></extra>" };
}

function spectra(data, shown) {
  const found = shown.filter((run) => run.spectra);
  const laws = (found.find((run) => run.spectra.theory) || { spectra: { theory: [] } }).spectra.theory;
  return [...found.flatMap((run) => run.spectra.levels.map((level, i) =>
    line(data.optimizers[run.o], level.x, level.y, { line: { dash: DASHES[i], shape: "hvh" }, connectgaps: false }))),
  ...laws.map((law) => theory(law, 1))];
}

// Each optimizer's way over contours of the loss, a larger dot at its end.
function trajectories(data, shown) {
  const ways = shown.filter((run) => run.path);
  if (!ways.length) return [];
  const over = data.landscapes.find(({ p }) => p === ways[0].p);
  const mark = (name, x, y, symbol) => ({ x: [x], y: [y], type: "scatter", mode: "markers", name, hovertemplate: `${name}<extra></extra>`,
    marker: { symbol, size: 12, color: ink(), line: { width: 2, color: ink() } } });
  const lines = ways.map((run) => line(data.optimizers[run.o], run.path.x, run.path.y, { mode: "lines+markers",
    marker: { color: look(data.optimizers[run.o]).colour, line: { width: 0 },
      size: run.path.x.map((_, i) => (i === run.path.x.length - 1 ? 10 : 4)) },
    hovertemplate: "%{fullData.name}<extra></extra>" }));
  return [
    { x: over.t, y: over.t, z: over.z, type: "contour", name: "loss", showscale: false, hoverinfo: "skip", ticks: over.ticks,
      contours: { start: -1, end: 1, size: 1 / 8, coloring: "heatmap" }, line: { color: GREY, width: 0.7, smoothing: 1 },
      colorscale: [[0, "rgba(128, 128, 128, 0.55)"], [1, "rgba(128, 128, 128, 0)"]] },
    ...lines, mark("start", ways[0].path.x[0], ways[0].path.y[0], "circle-open"), ...(over.has_saddle ? [mark("saddle", 0, 0, "x-thin-open")] : []),
  ];
}

// Both axes of one length, with the ticks of the landscape.
function square([{ x, ticks }]) {
  const axis = { range: [x[0], x[x.length - 1]], tickvals: ticks.at, ticktext: ticks.said, zeroline: false, constrain: "domain" };
  return { xaxis: axis, yaxis: { ...axis, scaleanchor: "x" } };
}

// Bars, and above each the line that it would reach if all of its FLOPs went as those of one large matrix product.
function rates(data, shown) {
  return shown.filter((run) => run.rates).flatMap((run) => {
    const label = data.optimizers[run.o], { colour, dash } = look(label);
    const { x, low, y, high, share, roof } = run.rates;
    return [
      line(label, x, y, { type: "bar", offsetgroup: run.o, marker: { color: colour, pattern: { shape: HATCHES[dash] } }, text: share.map((part) => (part === null ? "no FLOPs" : "")),
        textposition: "outside", textangle: -90, hovertemplate: "%{fullData.name}<br>%{x}: %{y:.4g}<extra></extra>",
        error_y: { type: "data", symmetric: false, array: high.map((each, i) => each - y[i]), arrayminus: low.map((each, i) => y[i] - each) } }),
      line(label, x, roof, { mode: "markers+text", offsetgroup: run.o, textposition: "top center", textfont: { size: 11 },
        text: share.map((part) => (part === null ? "" : `${Number((100 * part).toPrecision(2))} %`)),
        marker: { symbol: "line-ew", size: 22, line: { color: colour, width: 3 } },
        hovertemplate: "%{fullData.name}<br>%{x}: its FLOPs would allow %{y:.4g}; reached: %{text}<extra></extra>" }),
    ];
  });
}

// Bars that begin well below the lowest, and room for words above the highest.
function roomy(traces) {
  const all = traces.flatMap(({ y }) => y.filter((each) => each !== null));
  return { scattermode: "group", yaxis: { range: [Math.log10(Math.min(...all)) - 0.7, Math.log10(Math.max(...all)) + 0.8], dtick: 1 } };
}

// From a little below 1, so that who is best there is seen.
function fromOne(traces) {
  const end = Math.log10(Math.max(...traces.flatMap(({ x }) => x)));
  return { xaxis: { range: [-0.02 * end, end] } };
}

// What a suite shows of one problem, by axis: title, what it says, traces, and the y axis.
const FIGURES = [
  { name: "loss", title: "Loss", y: "loss", says: "Median over seeds, the middle half shaded (the range of fewer than 5).",
    traces: (data, shown, axis) => banded(data, shown, axis, "loss") },
  { name: "escape", title: "Still at the saddle", y: "share of seeds", says: "Kaplan-Meier: the share of seeds that has not escaped.",
    traces: (data, shown, axis) => shown.filter((run) => run.escape).map((run) =>
      line(data.optimizers[run.o], run.escape[axis].x, run.escape[axis].y, { line: { shape: "hv" } })), range: [-0.03, 1.03] },
  { name: "trajectories", title: "Trajectories", x: "first parameter", y: "second parameter", traces: trajectories, layout: square,
    says: "The seed that starts furthest from both axes, over contours of the loss, the greyer the lower: o its start, x the saddle, a dot the end. Axes "
      + "measure from the saddle, even within the start's distance and logarithmic beyond." },
  { name: "gradient_norm", title: "Gradient norm", y: "|gradient|", says: "Median over seeds, shaded as the loss.",
    traces: (data, shown, axis) => banded(data, shown, axis, "gradient_norm") },
  { name: "min_eigenvalue", title: "Lowest eigenvalue of the Hessian", y: "eigenvalue", says: "Negative at a saddle.",
    traces: (data, shown, axis) => banded(data, shown, axis, "min_eigenvalue") },
  { name: "points", of: "critical_points", title: "Energy against the index", x: "alpha, the share of negative eigenvalues", y: "energy or loss",
    says: "Distinct critical points; grey: theory.", traces: points },
  { name: "spectra", of: "critical_points", title: "Eigenvalues of the Hessian", x: "eigenvalue", log: true, traces: spectra,
    y: "density", says: "At the lowest (solid), the middle (dashed) and the highest (dotted) critical point; grey: theory's semicircles." },
  { name: "rates", of: "throughput", title: "Steps a second", x: "dtype", y: "steps a second", log: true, traces: rates, layout: roomy,
    says: "Median over blocks, bars to the quartiles. Lines: what the FLOPs counted in a step would allow at the FLOP/s of one large "
      + "matrix product, and the share of it that is reached. Where no FLOPs are counted, there is no line." },
  { name: "escaped", title: "Escaped, over all problems", says: "The share of problems and seeds left within a cost.",
    whole: true, y: "share of problems and seeds", x: AXES.cost, range: [-0.03, 1.03], logx: true,
    traces: (data) => data.escaped.filter((each) => each.x.length > 1).map((each) => line(data.optimizers[each.o], each.x, each.y, { line: { shape: "hv" } })) },
  { name: "profiles", title: "Performance profiles", x: "tau, times the least cost of all", y: "share of problems", whole: true, range: [-0.03, 1.03], logx: true, layout: fromOne,
    says: "The share of problems solved at up to tau times the least cost of all. Solved: half of the seeds have left the saddle; "
      + "without one, have come down all but 1 % of the way from the start to the lowest median of all.",
    traces: (data) => data.profiles.map((each) => line(data.optimizers[each.o], each.x, each.y, { line: { shape: "hv" } })) },
  { name: "families", title: "Training error against hidden units", says: "At the end of the budget; bars as the bands.",
    whole: true, x: "hidden units", y: "training error",
    traces: (data) => data.families.map((each) => line(data.optimizers[each.o], each.x, each.mid, { mode: "lines+markers",
      error_y: { type: "data", symmetric: false, array: each.high.map((high, i) => high - each.mid[i]),
        arrayminus: each.low.map((low, i) => each.mid[i] - low) } })) },
];

// How the time to escape grows: a figure a family, of which a setting's belongs to the problem that is chosen.
function scaling({ title, kind, x, power, slope, series, top }) {
  const ticks = [...new Set(series.flatMap((each) => each.x))];
  return { name: "scaling", title, x, y: "escape step, median", ticks, logx: true, log: power, legend: true, whole: kind === "problem",
    says: `Kaplan-Meier medians with 95 % intervals; hollow: beyond the budget. ${slope[0].toUpperCase()}${slope.slice(1)} of the line: see the legend.`
      + (series.some((each) => each.law) ? " Thin: the exact law." : ""),
    traces: (data, shown) => series.filter((each) => each.p === null || shown.some((run) => run.p === each.p))
      .flatMap((each) => grown(data.optimizers[each.o], each, top)) };
}

function grown(label, { name, said, x, y, low, high, beyond, fit, law }, top) {
  const { colour } = look(label);
  const key = { name: escaped(`${name}: ${said}`) };
  const shown = y.map((each) => Math.min(each, top));
  const lines = [line(label, x, shown, { ...key, mode: "markers", showlegend: true,
    text: y.map((each, i) => (beyond[i] ? `> ${each}` : `${each}`)), hovertemplate: "%{fullData.name}<br>%{x:.4g}, %{text}<extra></extra>",
    marker: { color: colour, size: 9, symbol: beyond.map((each) => (each ? "triangle-up-open" : "circle")) },
    error_y: { type: "data", symmetric: false, array: high.map((each, i) => (beyond[i] ? 0 : each - y[i])), arrayminus: low.map((each, i) => (beyond[i] ? 0 : y[i] - each)) } })];
  if (fit) lines.push(line(label, fit.x, fit.y, key));
  if (law) lines.push(theory(law, 1));
  return lines;
}

// Where some end long before others, as a dense Hessian against gradients, only a logarithm shows both.
function isWide(figure, traces) {
  if (figure.x) return Boolean(figure.logx) && traces.some((trace) => trace.x.some((x) => x > 0));
  const ends = traces.map((trace) => Math.max(...trace.x.filter((x) => x !== null))).filter((end) => end > 0);
  return Math.max(...ends) > 20 * Math.min(...ends);
}

// A logarithm has no zero: what begins there begins at the left edge.
function fromEdge(traces) {
  const edge = Math.min(...traces.flatMap((trace) => trace.x.filter((x) => x > 0))) / 1.25;
  return traces.map((trace) => ({ ...trace, x: trace.x.map((x) => (x === 0 ? edge : x)) }));
}

function layout(figure, traces, axis, wide, upright) {
  const style = getComputedStyle(document.documentElement);
  const [ink, grid] = ["--ink", "--line"].map((name) => style.getPropertyValue(name).trim());
  const axes = { gridcolor: grid, linecolor: grid, zerolinecolor: grid, automargin: true };
  const log = upright ? upright.log : figure.log && positive(traces);
  const range = upright && upright.range ? upright.range.map((each) => (log ? Math.log10(each) : each)) : figure.range;
  const below = figure.legend ? 20 * traces.filter((trace) => trace.showlegend).length + 12 : 0; // a row an entry
  const own = figure.layout ? figure.layout(traces) : {};
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, family: "system-ui, sans-serif", size: 13 },
    margin: { t: 8, r: 12, b: 44 + below, l: 54 }, hovermode: "closest", modebar: { bgcolor: "rgba(0,0,0,0)", color: grid }, showlegend: Boolean(figure.legend), dragmode: false,
    legend: { y: 0, yref: "container", yanchor: "bottom", x: 0, font: { size: 11 } }, height: below ? 320 + below : undefined,
    ...(own.scattermode && { scattermode: own.scattermode }),
    xaxis: { ...axes, title: { text: figure.x || AXES[axis] }, type: wide ? "log" : "-",
      ...(figure.ticks && { tickvals: figure.ticks, ticktext: figure.ticks.map(String) }), ...own.xaxis },
    yaxis: { ...axes, type: log ? "log" : "linear", exponentformat: "power", ...(figure.y && { title: { text: figure.y } }),
      ...(range && { range }), ...own.yaxis },
  };
}

function draw(holder, figure, data, problem, axis) {
  const shown = data.drawn.filter((run) => run.p === problem);
  let traces = figure.traces(data, shown, axis).filter((trace) => trace.x.length);
  const wide = isWide(figure, traces);
  if (wide) traces = fromEdge(traces);
  holder.hidden = !traces.length;
  if (!traces.length) return false;
  const plot = holder.querySelector(".plot");
  const where = figure.whole ? "" : ` on ${data.problems[problem]}`;
  plot.setAttribute("aria-label", `${figure.title}${where}, by ${figure.x || AXES[axis]}: ${figure.says}`);
  const upright = data.windows[`${problem} ${figure.name}`];
  const away = upright ? upright.away.map((o) => data.optimizers[o]) : [];
  const switched = traces.some((trace) => trace.marker && trace.marker.symbol === "diamond-open");
  holder.querySelector("figcaption").textContent = figure.says + (switched ? " Diamond: half of the seeds had switched optimizer." : "") + (away.length ? ` Out of the picture: ${away.join(", ")}.` : "");
  const paint = () => {
    const looks = layout(figure, traces, axis, wide, upright);
    plot.style.height = looks.height ? `${looks.height}px` : "";
    Plotly.react(plot, traces.map((trace) => ({ ...trace, visible: !hidden.has(trace.meta) })), looks,
      { responsive: true, displaylogo: false, modeBarButtonsToRemove: UNWANTED, toImageButtonOptions: { format: "svg" } });
    plots.add(plot);
  };
  if (plots.has(plot)) paint();
  else whenNear(holder, paint);
  return true;
}

function figures(data) {
  const problem = element("select");
  data.problems.forEach((label, i) => problem.append(element("option", { value: i }, label)));
  const axis = element("select");
  for (const [name, said] of Object.entries(AXES)) axis.append(element("option", { value: name }, said));
  const controls = element("div", { class: "controls" }, ...(data.problems.length > 1 ? [element("label", {}, "Problem ", problem)] : []),
    ...(data.experiment === "race" ? [element("label", {}, "Against ", axis)] : []));
  const missing = element("p", { class: "faint" });
  const grid = element("div", { class: "figures" });
  const all = [...FIGURES, ...data.scaling.map(scaling)];
  const holders = all.map((figure) => {
    const holder = element("figure", { "data-figure": figure.name }, element("h3", {}, figure.title),
      element("div", { class: "plot", role: "img" }), element("figcaption", {}, figure.says));
    grid.append(holder);
    return holder;
  });
  const show = () => {
    const absent = all.filter((figure, i) =>
      !draw(holders[i], figure, data, Number(problem.value), axis.value) && (figure.of || "race") === data.experiment);
    missing.textContent = absent.length ? `Not shown, for these results do not have it: ${absent.map((f) => f.title).join("; ")}.` : "";
  };
  problem.addEventListener("change", show);
  axis.addEventListener("change", show);
  return { parts: [controls, grid, missing], show };
}

// -- tables -----------------------------------------------------------------------------------------------------------

// Numbers by their size, "> 500" beyond 500, text after them by the alphabet, nothing last.
function rank(text) {
  const number = /^(> )?([-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|inf))/.exec(text);
  if (number) return [0, number[2].endsWith("inf") ? Infinity : Number(number[2]), number[1] ? 1 : 0, text];
  return [text === "" ? 2 : 1, 0, 0, text];
}

function byRank(a, b) {
  for (let i = 0; i < 3; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
  return a[3].localeCompare(b[3], undefined, { numeric: true });
}

function sort(table, column, header) {
  const descending = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows].map((row) => [rank(row.cells[column].textContent), row]);
  rows.sort(([a], [b]) => (a[0] === 2 || b[0] === 2 ? a[0] - b[0] : 0) || (descending ? byRank(b, a) : byRank(a, b)));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

// The interval of a number in small print.
function quieter(text) {
  const [, value, interval, star] = /^(.*?)( \[.*\])?( \*)?$/s.exec(text);
  return [value, ...(interval ? [element("small", {}, interval)] : []), star || ""];
}

function sortable(columns, rows) {
  const head = element("tr"), body = element("tbody");
  const table = element("table", { class: "sortable" }, element("thead", {}, head), body);
  columns.forEach((name, i) => {
    const button = element("button", { type: "button" }, name);
    const header = element("th", { scope: "col" }, button);
    button.addEventListener("click", () => sort(table, i, header));
    head.append(header);
  });
  for (const row of rows) body.append(element("tr", {}, ...row.map((text) => element("td", {}, ...quieter(String(text))))));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of results" }, table);
}

function statuses(data) {
  const head = element("tr", {}, element("th", { scope: "col" }, "problem"),
    ...data.optimizers.map((label) => element("th", { scope: "col" }, label)));
  const found = new Map(data.statuses.map(([p, o, counts]) => [`${p} ${o}`, counts]));
  const rows = data.problems.map((label, p) => element("tr", {}, element("th", { scope: "row" }, label),
    ...data.optimizers.map((_, o) => {
      const counts = Object.entries(found.get(`${p} ${o}`) || {});
      const bad = counts.some(([status]) => !["ok", "stuck"].includes(status));
      return element("td", bad ? { class: "broke" } : {}, counts.map(([status, n]) => `${n} ${status}`).join(", ") || "none");
    })));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Statuses" },
    element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

function details(title, content, open) {
  const made = element("details", open ? { open: "" } : {}, element("summary", {}, title));
  if (open) made.append(content());
  else made.addEventListener("toggle", () => made.append(content()), { once: true });
  return made;
}

function facts(data) {
  const rows = data.facts.map(([name, value]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value)));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Environment" },
    element("table", {}, element("tbody", {}, ...rows)));
}

// -- page -------------------------------------------------------------------------------------------------------------

function fill(section) {
  const data = JSON.parse(section.querySelector("script").textContent);
  const body = section.querySelector(".body");
  const drawing = data.drawn.length ? figures(data) : { parts: [], show: () => {} };
  body.replaceChildren(details("Table", () => sortable(data.columns, data.rows), true), element("p", { class: "faint" }, data.legend),
    ...data.said.map((said) => element("p", {}, said)), ...drawing.parts,
    ...Object.entries(data.tables).map(([title, table]) => details(title, () => sortable(Object.keys(table[0]), table.map(Object.values)))),
    details("Statuses", () => statuses(data)), details("Environment", () => facts(data)));
  drawing.show();
  section.dataset.drawn = "yes";
}

function toggle(label, button) {
  const show = hidden.delete(label);
  if (!show) hidden.add(label);
  button.setAttribute("aria-pressed", show);
  for (const plot of plots) {
    const places = plot.data.flatMap((trace, i) => (trace.meta === label ? [i] : []));
    if (places.length) Plotly.restyle(plot, { visible: show }, places);
  }
}

function legend() {
  const nav = document.getElementById("legend");
  labels.push(...JSON.parse(document.getElementById("labels").textContent));
  const svg = "http://www.w3.org/2000/svg";
  for (const label of labels) {
    const { colour, dash } = look(label);
    const sample = document.createElementNS(svg, "svg");
    const stroke = document.createElementNS(svg, "path");
    const dashes = { solid: "", dash: "8 4", dot: "2 4", dashdot: "8 3 2 3" }[dash];
    for (const [name, value] of Object.entries({ d: "M0 5H29", stroke: colour, "stroke-width": 4, "stroke-dasharray": dashes }))
      stroke.setAttribute(name, value);
    sample.setAttribute("aria-hidden", "true");
    sample.append(stroke);
    const button = element("button", { type: "button", "aria-pressed": "true", title: label }, sample, element("span", {}, label));
    button.addEventListener("click", () => toggle(label, button));
    nav.append(button);
  }
  nav.hidden = !labels.length;
}

legend();
document.querySelectorAll(".suite").forEach((section) => whenNear(section, () => fill(section)));
addEventListener("beforeprint", () => {
  for (const target of waiting.keys()) arrive(target); // suites, and the figures that these add
});
media.addEventListener("change", () => {
  const style = getComputedStyle(document.documentElement);
  const [ink, grid] = ["--ink", "--line"].map((name) => style.getPropertyValue(name).trim());
  const axes = Object.fromEntries(["xaxis", "yaxis"].flatMap((a) => ["gridcolor", "linecolor", "zerolinecolor"].map((c) => [`${a}.${c}`, grid])));
  for (const plot of plots) Plotly.relayout(plot, { "font.color": ink, ...axes });
});
