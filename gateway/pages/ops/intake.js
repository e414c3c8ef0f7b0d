// The intake: whether orders are taken.

import { control } from "./control.js";

const intake = control("intake", describe);

export const showIntake = intake.show;

function describe({ paused, notice, reason }) {
  const why = reason ? ` (${reason})` : "";
  const told = notice ? ` Shoppers are told: “${notice}”` : "";
  return paused ? `Paused${why}: new orders are refused.${told}` : `Taking orders${why}.`;
}

function askPause(after) {
  intake.propose({
    title: "Pause the intake",
    words: () =>
      "New orders are refused at all gateways within a second, with your notice and the advice to come back. Orders that were taken are still decided, and their retries still answered.",
    fields: [{ name: "notice", label: "Notice to shoppers", hint: "May be empty.", maxLength: 500 }],
    change: ({ notice }) => (notice === null ? { paused: true } : { paused: true, notice }),
    done: () => "The intake is paused.",
    after,
  });
}

function askResume(after) {
  intake.propose({
    title: "Resume the intake",
    words: () => "All gateways take orders again within a second. Shoppers who were told to come back may all come at once: the queue refuses what it can't hold.",
    change: () => ({ paused: false }),
    done: () => "Orders are taken again.",
    after,
  });
}

export function connectIntake(after) {
  intake.connect(() => askPause(after), () => askResume(after));
}
