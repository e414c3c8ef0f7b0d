// The charts: one axis of time for all, and a chart of the stock for each sale.

import { column, latest, limits, samples } from "./samples.js";
import { count, element, make } from "./words.js";

const HEIGHT = 220;
const LEAST_SECONDS = 60;
const MOST_SALES = 12;
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600];
// Whole numbers only: there is no half of an order.
const NUMBERS = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

const ink = () => getComputedStyle(document.documentElement).getPropertyValue("color") || "#888";
const grid = { stroke: "#8884", width: 1 };

const CHARTS = [
  {
    id: "flood",
    lines: [
      ["arrived", "#3b82c4", () => column("arrived")],
      ["accepted", "#3a9d5d", () => column("accepted")],
      ["queue full", "#d97706", () => column("queue_full")],
      ["turned away", "#8b8b8b", () => column("turned_away")],
    ],
  },
  {
    id: "drain",
    lines: [
      ["decided", "#c2410c", () => column("decided")],
      ["limit", "#dc2626", () => column("drain_limit")],
    ],
  },
  {
    id: "line",
    lines: [
      ["waiting", "#b07d0a", () => column("backlog")],
      ["limit", "#dc2626", () => samples.map(() => limits.backlog_limit)],
    ],
  },
];
let ofSales = [];

function plot(chart, box) {
  const width = () => box.clientWidth || 600;
  chart.plot = new uPlot(
    {
      width: width(),
      height: HEIGHT,
      cursor: { sync: { key: "time" } },
      scales: {
        x: { range: (_, first, last) => [Math.min(first ?? 0, (last ?? 0) - LEAST_SECONDS), last ?? 0] },
        y: { range: (_, __, most) => [0, Math.max(1, (most ?? 0) * 1.1)] },
      },
      axes: [
        // A label has eight characters: this is how far apart they are at least.
        { stroke: ink, grid, incrs: SECONDS, space: 90, values: times },
        { stroke: ink, grid, incrs: NUMBERS, size: 72, values: (_, ticks) => ticks.map(count) },
      ],
      series: [
        { value: (_, at) => (at === null ? "–" : time(at)) },
        ...chart.lines.map(([label, stroke]) => ({
          label,
          stroke,
          width: 2,
          points: { show: false },
          dash: label === "limit" ? [8, 6] : undefined,
          fill: label === "waiting" ? stroke + "33" : undefined,
          value: (_, shown) => (shown === null ? "–" : count(shown)),
        })),
      ],
    },
    [[], ...chart.lines.map(() => [])],
    box,
  );
  chart.observer = new ResizeObserver(() => chart.plot.setSize({ width: width(), height: HEIGHT }));
  chart.observer.observe(box);
}

const time = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");
const times = (_, ticks) => ticks.map(time);

for (const chart of CHARTS) plot(chart, element(chart.id));

// Makes the charts of the stock anew, if there are other sales than before.
function matchSales() {
  const all = Object.keys(latest()?.left ?? {});
  const skus = all.slice(0, MOST_SALES);
  if (skus.join("\n") === ofSales.map(({ sku }) => sku).join("\n")) return;
  for (const { plot: old, observer } of ofSales) {
    observer.disconnect();
    old.destroy();
  }
  element("left").replaceChildren();
  ofSales = skus.map((sku) => {
    const chart = { sku, lines: [["left", "#6d5bd0", () => samples.map(({ left }) => left[sku] ?? null)]] };
    const more = all.length > MOST_SALES ? `, the first ${MOST_SALES} of ${all.length} sales` : "";
    const title = make("h2", {}, `Stock left of ${sku} `, make("span", { textContent: `items${more}` }));
    const box = make("div");
    element("left").append(make("section", {}, title, box));
    plot(chart, box);
    return chart;
  });
}

export function draw() {
  matchSales();
  const at = column("at");
  for (const chart of [...CHARTS, ...ofSales]) {
    chart.plot.setData([at, ...chart.lines.map(([, , values]) => values())]);
  }
  const now = latest();
  if (!now) return;
  element("arrived").textContent = `${count(now.arrived)}/s`;
  element("accepted").textContent = `${count(now.accepted)}/s`;
  element("backlog").textContent = `${count(now.backlog)} of ${count(limits.backlog_limit)}`;
  element("decided").textContent = limits.paused ? "paused" : `${count(now.decided)}/s of ${count(limits.drain_rate)}`;
  element("eta").textContent = limits.paused ? "paused" : `${(now.backlog / limits.drain_rate).toFixed(1)} s`;
  element("stock").textContent = count(now.stock_left);
}
