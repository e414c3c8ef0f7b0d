// The audit: who changed what, when and why.

import { read } from "./requests.js";
import { element, fill, make, moment, say } from "./words.js";

const SHOWN = 20;
// The reason has a column of its own.
const UNTOLD = new Set(["version", "drain_reason", "intake_reason"]);
let newest = null;

export async function showAudit() {
  const { entries } = (await read(`admin/audit?limit=${SHOWN}`)).body;
  say(element("audit-state"), entries.length ? "" : "Nobody has changed anything.");
  if (entries[0]?.id === newest) return;
  newest = entries[0]?.id;
  fill(element("audit"), entries.map(row));
}

function row({ at, who, action, target, before, after, reason }) {
  const cell = (words) => make("td", { textContent: words });
  return make(
    "tr",
    {},
    make("td", { className: "moment", textContent: moment(at) }),
    cell(who),
    cell(action),
    cell(target),
    cell(changes(before ?? {}, after ?? {})),
    cell(reason ?? "–"),
  );
}

function changes(before, after) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const told = names
    // What is new and has no value was not changed.
    .filter((name) => !UNTOLD.has(name) && JSON.stringify(before[name] ?? null) !== JSON.stringify(after[name] ?? null))
    .map((name) => (name in before ? `${name}: ${value(name, before[name])} → ${value(name, after[name])}` : `${name}: ${value(name, after[name])}`));
  return told.join(", ") || "–";
}

function value(name, given) {
  if (given === null || given === undefined) return "none";
  // Moments are kept in Unix seconds.
  if (typeof given === "number" && /(_at|_until)$/.test(name)) return moment(given * 1000);
  if (Array.isArray(given)) return given.length > 2 ? `${given[0]} and ${given.length - 1} more` : given.join(", ");
  return String(given);
}
