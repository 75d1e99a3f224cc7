"use strict";
// What only a browser can do: draw a panel when it comes near the window, switch problem and axis,
// hide a method, sort a table, follow the dark, and print. Everything else is in the page already.

const TEMPLATE = JSON.parse(document.getElementById("template").textContent);
const CONFIG = {
  responsive: true,
  displaylogo: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d",
    "sendChartToCloud"],
  toImageButtonOptions: { format: "svg" },
};
const PAPER = { width: 330, height: 290, "font.size": 10 }; // of a panel in print: two fit in a row
const hidden = new Set(); // labels of methods
const panels = new Map(); // elements that are drawn -> panel
const waiting = new Map(); // elements -> what to do once they come near the window

const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) arrive(entry.target);
}, { rootMargin: "300px" });

function whenNear(target, act) {
  waiting.set(target, act);
  near.observe(target);
}

function arrive(target) {
  const act = waiting.get(target);
  near.unobserve(target);
  waiting.delete(target);
  if (act) act();
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// -- what is packed --------------------------------------------------------------------------

// Plotly's script and the numbers of all figures lie in the page as gzip in base64.
async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.textContent), (each) => each.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function unpackAll() {
  for (const data of document.querySelectorAll(".suite > script")) data.textContent = await unpack(data);
  const packed = document.getElementById("plotly");
  const script = element("script", {});
  script.textContent = await unpack(packed);
  packed.replaceWith(script);
}

// -- figures ---------------------------------------------------------------------------------

// A copy in which references to arrays and to the theme's colours are replaced.
function resolved(value, arrays) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((each) => resolved(each, arrays));
  if (value.css) return getComputedStyle(document.documentElement).getPropertyValue(value.css).trim();
  if (value.ref) {
    const [first, second] = value.ref.map((place) => arrays[place]);
    return second ? [...first, ...second.toReversed()] : first;
  }
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, resolved(each, arrays)]));
}

function draw(plot) {
  const { plot: { data, layout }, arrays } = panels.get(plot);
  const traces = resolved(data, arrays).map((trace) => ({ ...trace, visible: !hidden.has(trace.meta) }));
  if (layout.height) plot.style.height = `${layout.height}px`;
  return Plotly.react(plot, traces, { ...resolved(layout, arrays), template: resolved(TEMPLATE, []) }, CONFIG);
}

function holder(panel) {
  const plot = element("div", { class: "plot", role: "img", "aria-label": panel.label });
  whenNear(plot, () => {
    panels.set(plot, panel);
    draw(plot);
  });
  return element("figure", { "data-figure": panel.name }, element("h3", {}, panel.title), plot,
    element("figcaption", {}, panel.caption));
}

function start(section) {
  const { arrays, panels: all } = JSON.parse(section.querySelector("script").textContent);
  const grid = section.querySelector(".figures");
  const choices = [...section.querySelectorAll("select")];
  const chosen = (name) => choices.find((choice) => choice.name === name);
  const isShown = (panel, name) => panel[name] === null || !chosen(name) || panel[name] === chosen(name).value;
  const show = () => {
    for (const plot of grid.querySelectorAll(".plot")) {
      near.unobserve(plot);
      waiting.delete(plot);
      if (panels.delete(plot)) Plotly.purge(plot);
    }
    const shown = all.filter((panel) => isShown(panel, "problem") && isShown(panel, "against"));
    grid.replaceChildren(...shown.map((panel) => holder({ ...panel, arrays })));
  };
  for (const choice of choices) choice.addEventListener("change", show);
  show();
  section.dataset.drawn = "yes";
}

function toggle(button) {
  const label = button.title;
  const isShown = hidden.delete(label);
  if (!isShown) hidden.add(label);
  button.setAttribute("aria-pressed", isShown);
  for (const plot of panels.keys()) {
    const places = plot.data.flatMap((trace, i) => (trace.meta === label ? [i] : []));
    if (places.length) Plotly.restyle(plot, { visible: isShown }, places);
  }
}

// -- tables ----------------------------------------------------------------------------------

// Numbers first, then what is later than so many steps, never, words, and nothing at last.
function rank(cell) {
  const text = cell.textContent;
  const [group, number] = (cell.dataset.sort || (text ? "3 0" : "4 0")).split(" ").map(Number);
  return { group, number, text };
}

function compare(a, b) {
  return a.group - b.group || a.number - b.number
    || a.text.localeCompare(b.text, undefined, { numeric: true });
}

function sort(header) {
  const table = header.closest("table");
  const isDown = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", isDown ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: rank(row.cells[header.cellIndex]) }));
  const isEmpty = ({ key }) => Number(key.group === 4);
  rows.sort((a, b) => isEmpty(a) - isEmpty(b) || (isDown ? compare(b.key, a.key) : compare(a.key, b.key)));
  table.tBodies[0].append(...rows.map(({ row }) => row));
}

// -- page ------------------------------------------------------------------------------------

unpackAll().then(() => {
  for (const section of document.querySelectorAll(".suite")) whenNear(section, () => start(section));
}, () => {
  const note = "The figures need a newer browser: Chrome 80, Firefox 113, Safari 16.4, or later.";
  for (const figures of document.querySelectorAll(".figures")) figures.append(element("p", {}, note));
});
for (const button of document.querySelectorAll("#legend button"))
  button.addEventListener("click", () => toggle(button));
for (const button of document.querySelectorAll(".sortable th button"))
  button.addEventListener("click", () => sort(button.closest("th")));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const plot of panels.keys()) draw(plot);
});
addEventListener("beforeprint", () => {
  for (const target of waiting.keys()) arrive(target); // sections, and the panels that these add
  for (const folded of document.querySelectorAll("details:not([open])")) {
    folded.open = folded.dataset.folded = true; // paper has nothing to unfold
  }
  for (const plot of panels.keys()) {
    const height = panels.get(plot).plot.layout.height || PAPER.height;
    plot.style.height = `${height}px`;
    Plotly.relayout(plot, { ...PAPER, height, autosize: false });
  }
});
addEventListener("afterprint", () => {
  for (const folded of document.querySelectorAll("details[data-folded]")) {
    folded.open = false;
    delete folded.dataset.folded;
  }
  for (const plot of panels.keys()) {
    plot.style.height = "";
    draw(plot).then(() => Plotly.Plots.resize(plot));
  }
});
