// The shopper's page: shows the sale live, and what becomes of an order. The client does the rest.
// The browser stores the order before it is sent, so that a reload finds it again.

import { newOrder, SaleClient } from "../client.js";
import { CANCEL, countDown, inWords, ordinal, OVER, TIME_IS_UP, TROUBLE } from "./hold.js";
import { remember, remembered, stored } from "./memory.js";
import { allHeld, byInterest, showItem, showOthers, showStock } from "./sale.js";
import { $, duration, moment, number, say } from "./words.js";

const client = new SaleClient();
const AGAIN_MS = 2000;
const OTHERS_MS = 30000;
const BACKGROUND_MS = 20000;

const REASONS = {
  sold_out: "Everything was sold before it was your turn.",
  customer_limit: "You have as many as one customer may buy.",
  sale_not_open: "The sale had not begun when you ordered.",
  sale_closed: "The sale was over when you ordered.",
  unknown_sku: "This is not on sale.",
};
const PASSED_ON = {
  pending: " It is being passed on to the shop.",
  failed: " It could not be passed on to the shop so far. It stays yours.",
};
const HEADLINES = { sold_out: "Sold out", not_enough_left: "Not enough left" };

let sku = "";
let sale = null;
let order = null; // as the client keeps it
let leave = new AbortController(); // ends what is going on with the order
let clock = null; // counts down to the next attempt
let last = null; // what was told of the order last
let stopCounting = () => {}; // to the end of a hold
let heldUntil = null; // the end of the hold that was read out
let changing = null; // the order that is being cancelled or kept longer

// ---- the sale

async function start() {
  const sales = await client.sales();
  sku = new URLSearchParams(location.search).get("sku") || sales.sort(byInterest)[0]?.sku || "";
  if (!sku) {
    $("sku").textContent = "No sale today";
    say("state", "Come back later.");
    setTimeout(begin, OTHERS_MS * (1 + Math.random()));
    return;
  }
  showItem({ sku });
  showOthers(sales, sku);
  setInterval(() => client.sales().then((found) => showOthers(found, sku), () => {}), OTHERS_MS);
  setInterval(lookFromBackground, BACKGROUND_MS);
  client.watchSale(sku, showSale, () => { $("state").textContent = "There is no such sale."; });
  resume(remembered(`order ${sku}`));
}

// Go on with an order where this page, or another one in this browser, left it.
function resume(found) {
  order = found && { sku, ...found };
  last = heldUntil = null;
  $("customer").value ||= remembered("customer") ?? "";
  if (order) buy();
}

function showSale(seen) {
  const first = sale === null;
  sale = seen;
  showItem(sale);
  showStock(sale);
  say("state", {
    open: allHeld(sale) ?? (sale.customer_limit ? `At most ${sale.customer_limit} for each customer.` : "On sale now."),
    sold_out: "Sold out.",
    scheduled: `The sale begins at ${moment(sale.opens_at)}.`,
    closed: "This sale is over.",
  }[sale.state]);
  showForm();
  showCancel();
  if (first) lookAgain();
}

function showForm() {
  $("form").hidden = order !== null;
  $("buy").disabled = sale?.state !== "open";
}

// ---- the order

// An order that is made in another tab is shown in this one, so that nobody orders twice by accident. So
// is what another tab has done with the order.
addEventListener("storage", ({ key, newValue }) => {
  if (!sku || !newValue || key !== stored(`order ${sku}`)) return;
  const found = remembered(`order ${sku}`);
  if (!found) return;
  const cancelled = found.final?.status === "cancelled" && order?.final?.status !== "cancelled";
  const changed = found.extended !== order?.extended || cancelled;
  const over = ["expired", "cancelled"].includes(order?.final?.status);
  if (order === null || (found.key === order.key ? changed : over)) resume(found);
});

// A page that the browser kept is out of date, and its streams are closed.
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) location.reload();
});

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const customer = $("customer").value.trim();
  if (!customer) return;
  remember("customer", customer);
  const elsewhere = remembered(`order ${sku}`);
  if (elsewhere && !elsewhere.final) return resume(elsewhere);
  order = newOrder({ sku, customer });
  remember(`order ${sku}`, order);
  show("Sending your order…", "");
  $("headline").focus();
  buy();
});

$("again").addEventListener("click", () => {
  leave.abort();
  order = last = heldUntil = null;
  remember(`order ${sku}`, null);
  $("order").hidden = true;
  showForm();
  $("customer").focus();
});

function buy() {
  leave.abort();
  leave = new AbortController();
  stopClocks();
  const { signal } = leave;
  client.buy(order, { keep, tell: told, signal, patience: Infinity, replays: true }).catch((error) => {
    if (!signal.aborted) showError(error);
  });
}

function told(state) {
  stopClocks();
  if (state.status !== last?.status) {
    $("sure").close();
    say("trouble", "");
    say("spoken", "");
  }
  last = state;
  if (state.status === "retrying") showPause(state);
  else if (state.status === "queued") showPlace(state.position, state.eta_seconds);
  else if (state.status === "held") showHeld(state);
  else if (state.status === "waitlisted") showLine(state.position);
  else showEnd(state);
  showCancel();
}

function stopClocks() {
  clearInterval(clock);
  stopCounting();
}

// An order that is bought may be cancelled by the shop, or was in another browser.
async function lookAgain() {
  const mine = order;
  if (mine?.final?.status !== "confirmed" || !mine.id || !sale.cancellable) return;
  const seen = await client.look(mine.id).catch(() => mine.final);
  if (order?.key === mine.key && seen.status !== "confirmed") end(seen);
}

// A page in the background has no stream. If the order is in line there, the title tells of the hold.
async function lookFromBackground() {
  if (!document.hidden || last?.status !== "waitlisted") return;
  const mine = order;
  const seen = await client.look(mine.id).catch(() => null);
  if (order !== mine || !document.hidden || seen?.status !== "held") return;
  document.title = `Held for you: ${$("sku").textContent}`;
  told(seen);
}

// Take in the last state of an order from elsewhere than the client's `buy`.
function end(seen) {
  keep({ ...order, final: seen });
  buy();
}

// ---- to cancel, and to keep longer

function mayCancel() {
  switch (last?.status) {
    case "held": return last.ends > performance.now();
    case "waitlisted": return true;
    case "queued": return Boolean(sale?.hold_seconds && order?.id);
    case "confirmed": return Boolean(sale?.cancellable && order?.id && last.delivery === undefined);
    default: return false;
  }
}

function showCancel() {
  offer("cancel", mayCancel());
  if (mayCancel()) say("cancel", CANCEL[last.status][0]);
  else $("sure").close();
}

$("cancel").addEventListener("click", () => {
  if (!mayCancel()) return;
  const [, question, words, yes, no] = CANCEL[last.status];
  say("sure-title", question);
  say("sure-words", words);
  say("sure-yes", yes);
  say("sure-no", no);
  $("sure").showModal();
  $("sure-no").focus();
});

$("sure-no").addEventListener("click", () => $("sure").close());

$("sure-yes").addEventListener("click", () => {
  $("sure").close();
  change((mine) => client.cancel(mine.id), (seen) => {
    end(seen);
    $("headline").focus();
  });
});

$("longer").addEventListener("click", () => {
  change((mine) => client.extend(mine.id), (seen) => {
    keep({ ...order, extended: true });
    told(seen);
  });
});

async function change(send, done) {
  const mine = order;
  if (mine === changing) return;
  changing = mine;
  say("trouble", "");
  try {
    const seen = await send(mine);
    if (order?.key === mine.key) done(seen);
  } catch (error) {
    if (order?.key !== mine.key) return;
    const why = TROUBLE[error.kind];
    say("trouble", why ?? (error.problem ? error.message : "The shop does not answer. Please try again."));
    if (why) seeAgain();
  } finally {
    changing = null;
  }
}

// What is shown of the order is out of date.
function seeAgain() {
  if (order.final) keep({ ...order, final: null });
  buy();
}

// ---- what is shown

function showPause({ at, known, problem, answered }) {
  const full = problem?.type === "/problems/queue-full";
  const why = full ? "Many people are ordering right now."
    : answered ? "The shop is busy." : "The connection was lost.";
  const tick = () => show(
    known ? "Hold on: your order is not in line yet" : "Hold on: we ask for your order",
    `${why} We try again by ourselves, you need not do anything.`,
    `${Math.max(0, Math.ceil((at - Date.now()) / 1000))} s`,
  );
  clock = setInterval(tick, 250);
  tick();
}

function showPlace(place, eta) {
  show(
    "You are in line",
    eta === null
      ? "The line is not moving right now. Your place is kept."
      : `${eta < 1.5 ? "A moment" : `About ${duration(eta)}`} to go. You may close this page and come back.`,
    `#${number.format(place)}`,
  );
}

function showHeld(held) {
  const over = () => {
    show(TIME_IS_UP, "Please wait a moment. You need not do anything.");
    showCancel();
  };
  const left = (held.ends - performance.now()) / 1000;
  if (left <= 0) return over();
  if (held.pay_url) $("pay").href = held.pay_url;
  show(
    "It is held for you",
    `${held.pay_url ? "" : "The shop tells you how to pay. "}Pay in time, and it is yours. If you do not, the`
      + " next one gets it.",
    "",
    "",
    [held.pay_url && "pay", held.extendable && "longer"],
  );
  if (heldUntil !== held.expires_at) {
    heldUntil = held.expires_at;
    say("spoken", `You have ${inWords(Math.round(left))} to pay.`);
  }
  stopCounting = countDown(held.ends, {
    show: (time) => { $("countdown").textContent = time; },
    speak: (words) => say("spoken", words),
    over,
  });
}

function showLine(place) {
  show(
    `You are ${ordinal(place)} in line for a freed one`,
    "Everything is held by others right now. If somebody does not pay in time, the next one in line gets it."
      + " You may close this page and come back.",
  );
}

function showEnd(seen) {
  const end = (headline, detail, mood) => show(headline, detail, "", mood, ["again"]);
  if (seen.status === "confirmed") {
    const name = seen.order_ref ?? order.id.slice(0, 8);
    end("It is yours!", `Your order ${name} is confirmed.${PASSED_ON[seen.delivery] ?? ""}`, "good");
  } else if (seen.status === "failed") {
    end(
      "Something went wrong",
      "Your order could not be handled so far, and nothing is charged for it. If the shop tries it"
        + " again, you will see it here.",
      "bad",
    );
  } else if (seen.status === "expired" || seen.status === "cancelled") {
    const [headline, detail] = OVER[seen.reason] ?? OVER[seen.status];
    end(headline, detail, "bad");
  } else {
    const why = seen.reason === "not_enough_left"
      ? `You ordered ${seen.quantity}, and ${seen.remaining ?? "fewer"} were left. A smaller order may still work.`
      : REASONS[seen.reason] ?? seen.detail ?? "";
    const more = seen.checking ? " We are still checking whether an earlier attempt of yours came through." : "";
    end(HEADLINES[seen.reason] ?? "No order was made", why + more, "bad");
  }
  if (!seen.again) $("headline").focus();
}

function showError({ kind, message }) {
  stopClocks();
  const refused = kind && kind !== "outcome-unknown";
  show(
    refused ? "The shop does not answer you" : "We do not know about your order",
    refused ? message : "It may have come through. Load this page again to ask for it.",
    "",
    "bad",
  );
  offer("cancel", false);
  $("headline").focus();
}

function show(headline, detail, place = "", mood = "", offered = []) {
  $("form").hidden = true;
  $("order").hidden = false;
  $("order").className = `order ${mood}`;
  say("headline", headline);
  say("detail", detail);
  $("place").textContent = place;
  $("countdown").textContent = "";
  for (const id of ["pay", "longer", "again"]) offer(id, offered.includes(id));
}

// Show a button, or hide it: then the focus must not be lost with it.
function offer(id, offered) {
  const focused = document.activeElement === $(id);
  $(id).hidden = !offered;
  if (focused && !offered) $("headline").focus();
}

// ---- the browser's memory

function keep(changed) {
  if (changed.key !== order?.key) return;
  order = changed;
  const latest = remembered(`order ${sku}`);
  // Another tab may have made a later order: a reload shows that one.
  if (!latest || latest.key === order.key) remember(`order ${sku}`, order);
}

function begin() {
  $("sku").textContent ||= "Loading…";
  start().catch(() => {
    $("state").textContent = "The shop does not answer. Trying again…";
    setTimeout(begin, AGAIN_MS * (1 + Math.random()));
  });
}
begin();
