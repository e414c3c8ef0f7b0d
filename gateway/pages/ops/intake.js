// The intake: whether orders are taken.

import { ask } from "./dialog.js";
import { read, send } from "./requests.js";
import { element, say } from "./words.js";

const PATH = "admin/intake";
const HOME = element("intake-title");
let seen = null;

export async function showIntake() {
  seen = await read(PATH);
  const { paused, notice, reason } = seen.body;
  const why = reason ? ` (${reason})` : "";
  const told = notice ? ` Shoppers are told: “${notice}”` : "";
  say(element("intake-state"), paused ? `Paused${why}: new orders are refused.${told}` : `Taking orders${why}.`, paused);
  element("intake-pause").textContent = paused ? "Resume the intake…" : "Pause the intake…";
  element("intake-pause").disabled = false;
}

async function change(tag, body, done) {
  await send("PATCH", PATH, body, { tag });
  return done;
}

function askPause(after) {
  const { tag } = seen;
  ask({
    title: "Pause the intake",
    words: () =>
      "New orders are refused at all gateways within a second, with your notice and the advice to come back. Orders that were taken are still decided, and their retries still answered.",
    fields: [{ name: "notice", label: "Notice to shoppers", hint: "May be empty.", maxLength: 500 }],
    action: "Pause the intake",
    send: ({ notice, reason }) => {
      const body = notice === null ? { paused: true, reason } : { paused: true, notice, reason };
      return change(tag, body, "The intake is paused.");
    },
    home: HOME,
    after,
  });
}

function askResume(after) {
  const { tag } = seen;
  ask({
    title: "Resume the intake",
    words: () => "All gateways take orders again within a second. Shoppers who were told to come back may all come at once: the queue refuses what it can't hold.",
    action: "Resume the intake",
    send: ({ reason }) => change(tag, { paused: false, reason }, "Orders are taken again."),
    home: HOME,
    after,
  });
}

export function connectIntake(after) {
  element("intake-pause").addEventListener("click", () => (seen.body.paused ? askResume : askPause)(after));
}
