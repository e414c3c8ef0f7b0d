// The drain: its pause and its rate.

import { control } from "./control.js";
import { limits } from "./samples.js";
import { clock, count, element, orders } from "./words.js";

const MINUTES = { name: "minutes", label: "For how many minutes", hint: "Empty: until somebody changes it.", type: "number", min: 0.1, max: 500000, step: "any", inputMode: "decimal" };
const drain = control("drain", describe);

export async function showDrain() {
  const { rate } = await drain.show();
  element("drain-rate").disabled = false;
  element("drain-reset").hidden = rate === null;
}

const SLOWER = {
  slow: "its transactions take too long",
  busy: "the database refuses some batches for now",
  timeout: "the database did not answer in time",
  recovering: "the database was slow, and the rate comes back",
  receiver: "the shop's order service fails, or recovers",
  inherited: "it goes on with the rate of the drain before",
};

function describe({ paused, paused_until, rate, rate_until, effective_rate, rate_cap, rate_reason, reason, backlog }) {
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

function askPause(after) {
  drain.propose({
    title: "Pause the drain",
    words: ({ minutes }) =>
      `The drain stops after the batch in hand, ${lasting(minutes)}. Orders wait, up to ${count(limits.backlog_limit)}; more are refused as “queue full”. Nothing is lost, and shoppers are told that it is paused.`,
    fields: [MINUTES],
    change: (given) => ({ paused: true, ...duration(given) }),
    done: () => "The drain is paused.",
    after,
  });
}

function askResume(after) {
  drain.propose({
    title: "Resume the drain",
    words: (_, { backlog, rate }) =>
      `The ${orders(backlog)} that wait are decided at once, at up to ${count(rate ?? limits.drain_rate)} orders/s, the oldest first.`,
    change: () => ({ paused: false }),
    done: () => "The drain is running.",
    after,
  });
}

function askRate(after) {
  drain.propose({
    title: "Change the rate of the drain",
    action: "Change the rate",
    words: ({ rate, minutes }, now) =>
      `From the next batch on, no second has more than ${rate === null ? "…" : count(rate)} orders, ${lasting(minutes)}. Now it is ${count(now.rate_cap)}. Orders wait longer if it is less; nothing is lost.`,
    fields: [
      { name: "rate", label: "Orders a second", type: "number", min: 1, max: 1000000, step: 1, required: true, inputMode: "numeric" },
      MINUTES,
    ],
    change: (given) => ({ rate: given.rate, ...duration(given) }),
    done: ({ rate }) => `The rate is ${count(rate)} orders/s.`,
    after,
  });
}

function askReset(after) {
  drain.propose({
    title: "Back to the rate of the settings",
    words: () => "From the next batch on, the rate is FLASHSALE_DRAIN_RATE of the settings again.",
    change: () => ({ rate: null }),
    done: () => "The rate is that of the settings again.",
    after,
  });
}

export function connectDrain(after) {
  drain.connect(() => askPause(after), () => askResume(after));
  element("drain-rate").addEventListener("click", () => askRate(after));
  element("drain-reset").addEventListener("click", () => askReset(after));
}
