// The operator's page: fetches new samples once a second and draws them, and shows the controls.

import { showAudit } from "./audit.js";
import { draw } from "./charts.js";
import { showDead } from "./dead_letters.js";
import { connectDrain, showDrain } from "./drain.js";
import { connectIntake, showIntake } from "./intake.js";
import { fetchSamples, limits } from "./samples.js";
import { showSales } from "./sales.js";
import { element, say } from "./words.js";

const STALE_MS = 5000;
let heardAt = 0;

// Each part of the page, how it is read, and how often.
const PARTS = [
  ["drain-state", showDrain, 2000],
  ["intake-state", showIntake, 2000],
  ["sales-state", () => showSales(showAll), 2000],
  ["audit-state", showAudit, 5000],
  // Whoever looks at letters holds them for a moment, and a replay elsewhere misses them.
  ["dead-state", () => showDead(showAll), 15000],
];

async function show([state, read]) {
  try {
    await read();
  } catch (error) {
    say(element(state), `Not known: ${error.message}`, true);
  }
}

// Shows what a change has changed, at once.
async function showAll() {
  await Promise.all(PARTS.map(show));
}

async function keepShowing(part) {
  if (!document.hidden) await show(part);
  setTimeout(keepShowing, part[2], part);
}

async function keepSampling() {
  try {
    await fetchSamples();
    heardAt = Date.now();
    document.body.dataset.role = limits.role;
    element("viewer").hidden = limits.role === "operator";
    draw();
    say(element("state"), "Live");
  } catch (error) {
    if (Date.now() - heardAt > STALE_MS) say(element("state"), `Not live: ${error.message}`, true);
  }
  setTimeout(keepSampling, 1000);
}

connectDrain(showAll);
connectIntake(showAll);
keepSampling();
PARTS.forEach(keepShowing);
