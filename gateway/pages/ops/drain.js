// The drain: its pause and its rate.

import { ask } from "./dialog.js";
import { read, send } from "./requests.js";
import { limits } from "./samples.js";
import { clock, count, element, orders, say } from "./words.js";

const PATH = "admin/drain";
const HOME = element("drain-title");
const MINUTES = { name: "minutes", label: "For how many minutes", hint: "Empty: until somebody changes it.", type: "number", min: 0.1, max: 500000, step: "any", inputMode: "decimal" };
let seen = null;

export async function showDrain() {
  seen = await read(PATH);
  const drain = seen.body;
  say(element("drain-state"), stateOf(drain), drain.paused);
  element("drain-pause").textContent = drain.paused ? "Resume the drain…" : "Pause the drain…";
  for (const id of ["drain-pause", "drain-rate"]) element(id).disabled = false;
  element("drain-reset").hidden = drain.rate === null;
}

const SLOWER = {
  slow: "its transactions take too long",
  busy: "the database refuses some batches for now",
  timeout: "the database did not answer in time",
  recovering: "the database was slow, and the rate comes back",
  inherited: "it goes on with the rate of the drain before",
};

function stateOf({ paused, paused_until, rate, rate_until, effective_rate, rate_cap, rate_reason, reason, backlog }) {
  const why = reason ? ` (${reason})` : "";
  if (paused) return `Paused${until(paused_until)}${why}. ${orders(backlog)} waiting.`;
  if (effective_rate < rate_cap) {
    return `Running at up to ${count(effective_rate)} of ${count(rate_cap)} orders/s: ${SLOWER[rate_reason] ?? "the database is slow"}${until(rate_until)}${why}.`;
  }
  if (rate === null) return `Running at up to ${count(effective_rate)} orders/s, the rate of the settings${why}.`;
  return `Running at up to ${count(effective_rate)} orders/s, by an operator${until(rate_until)}${why}.`;
}

const until = (end) => (end === null ? "" : ` until ${clock(end)}`);
const lasting = (minutes) => (minutes === null ? "until somebody changes it" : `for ${minutes} min, then it ends by itself`);
const duration = ({ minutes }) => (minutes === null ? {} : { for_seconds: minutes * 60 });

async function change(tag, body, done) {
  await send("PATCH", PATH, body, { tag });
  return done;
}

function askPause(after) {
  const { tag } = seen;
  ask({
    title: "Pause the drain",
    words: ({ minutes }) =>
      `The drain stops after the batch in hand, ${lasting(minutes)}. Orders wait, up to ${count(limits.backlog_limit)}; more are refused as “queue full”. Nothing is lost, and shoppers are told that it is paused.`,
    fields: [MINUTES],
    action: "Pause the drain",
    send: (given) => change(tag, { paused: true, reason: given.reason, ...duration(given) }, "The drain is paused."),
    home: HOME,
    after,
  });
}

function askResume(after) {
  const { tag, body } = seen;
  ask({
    title: "Resume the drain",
    words: () =>
      `The ${orders(body.backlog)} that wait are decided at once, at up to ${count(limits.drain_rate)} orders/s, the oldest first.`,
    action: "Resume the drain",
    send: ({ reason }) => change(tag, { paused: false, reason }, "The drain is running."),
    home: HOME,
    after,
  });
}

function askRate(after) {
  const { tag, body } = seen;
  ask({
    title: "Change the rate of the drain",
    words: ({ rate, minutes }) =>
      `From the next batch on, no second has more than ${rate === null ? "…" : count(rate)} orders, ${lasting(minutes)}. Now it is ${count(body.rate_cap)}. Orders wait longer if it is less; nothing is lost.`,
    fields: [
      { name: "rate", label: "Orders a second", type: "number", min: 1, max: 1000000, step: 1, required: true, inputMode: "numeric" },
      MINUTES,
    ],
    action: "Change the rate",
    send: (given) => change(tag, { rate: given.rate, reason: given.reason, ...duration(given) }, `The rate is ${count(given.rate)} orders/s.`),
    home: HOME,
    after,
  });
}

function askReset(after) {
  const { tag } = seen;
  ask({
    title: "Back to the rate of the settings",
    words: () => "From the next batch on, the rate is FLASHSALE_DRAIN_RATE of the settings again.",
    action: "Back to the rate of the settings",
    send: ({ reason }) => change(tag, { rate: null, reason }, "The rate is that of the settings again."),
    home: HOME,
    after,
  });
}

export function connectDrain(after) {
  element("drain-pause").addEventListener("click", () => (seen.body.paused ? askResume : askPause)(after));
  element("drain-rate").addEventListener("click", () => askRate(after));
  element("drain-reset").addEventListener("click", () => askReset(after));
}
