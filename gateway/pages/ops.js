// The operator's page: fetches new samples once a second, and draws them.
"use strict";

const KEPT_SECONDS = 900;
const STALE_MS = 5000;
const samples = [];
let limits = { drain_rate: 0, backlog_limit: 0 };
let heardAt = 0;

const ink = () => getComputedStyle(document.documentElement).getPropertyValue("color") || "#888";
const element = (id) => document.getElementById(id);
const count = (value) => Math.round(value).toLocaleString("en");
const column = (name) => samples.map((sample) => sample[name]);

const TIMES = (_, ticks) => ticks.map((at) => new Date(at * 1000).toLocaleTimeString("en-GB"));

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
      ["limit", "#dc2626", () => samples.map(() => limits.drain_rate)],
    ],
  },
  {
    id: "line",
    lines: [
      ["waiting", "#b07d0a", () => column("backlog")],
      ["limit", "#dc2626", () => samples.map(() => limits.backlog_limit)],
    ],
  },
  { id: "left", lines: [["left", "#6d5bd0", () => column("stock_left")]] },
];

for (const chart of CHARTS) {
  const box = element(chart.id);
  chart.plot = new uPlot(
    {
      width: box.clientWidth || 600,
      height: 220,
      scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] } },
      axes: [
        { stroke: ink, grid: { stroke: "#8884", width: 1 }, incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300], values: TIMES },
        { stroke: ink, grid: { stroke: "#8884", width: 1 }, size: 72, values: (_, ticks) => ticks.map(count) },
      ],
      series: [
        {},
        ...chart.lines.map(([label, stroke]) => ({
          label,
          stroke,
          width: 2,
          points: { show: false },
          dash: label === "limit" ? [8, 6] : undefined,
          fill: label === "waiting" ? stroke + "33" : undefined,
        })),
      ],
    },
    [[], ...chart.lines.map(() => [])],
    box,
  );
  new ResizeObserver(() => chart.plot.setSize({ width: box.clientWidth, height: 220 })).observe(box);
}

function draw() {
  const at = column("at");
  for (const chart of CHARTS) {
    chart.plot.setData([at, ...chart.lines.map(([, , values]) => values())]);
  }
  const now = samples[samples.length - 1];
  if (!now) return;
  element("arrived").textContent = `${count(now.arrived)}/s`;
  element("accepted").textContent = `${count(now.accepted)}/s`;
  element("backlog").textContent = `${count(now.backlog)} of ${count(limits.backlog_limit)}`;
  element("decided").textContent = `${count(now.decided)}/s of ${count(limits.drain_rate)}`;
  element("eta").textContent = `${(now.backlog / limits.drain_rate).toFixed(1)} s`;
  element("stock").textContent = count(now.stock_left);
}

function tell(words, bad) {
  const state = element("state");
  if (state.textContent !== words) state.textContent = words;
  state.classList.toggle("bad", bad);
}

async function ask() {
  const last = samples.length ? samples[samples.length - 1].at : 0;
  try {
    const answer = await fetch(`ops/samples?after=${last}`);
    if (!answer.ok) throw new Error(`the gateway answers ${answer.status}`);
    const live = await answer.json();
    limits = live;
    for (const row of live.samples) {
      samples.push(Object.fromEntries(live.fields.map((name, index) => [name, row[index]])));
    }
    samples.splice(0, Math.max(0, samples.length - KEPT_SECONDS));
    heardAt = Date.now();
    draw();
    tell("Live", false);
  } catch (error) {
    if (Date.now() - heardAt > STALE_MS) tell(`Not live: ${error.message}`, true);
  }
  setTimeout(ask, 1000);
}

ask();
