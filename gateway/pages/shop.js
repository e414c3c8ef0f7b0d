// The shopper's page: shows the sale live, and what becomes of an order. The client does the rest.
// The browser stores the order before it is sent, so that a reload finds it again.

import { newOrder, SaleClient } from "../client.js";

const client = new SaleClient();
const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const AGAIN_MS = 2000;
const OTHERS_MS = 30000;

const REASONS = {
  sold_out: "Everything was sold before it was your turn.",
  customer_limit: "You have as many as one customer may buy.",
  sale_not_open: "The sale had not begun when you ordered.",
  sale_closed: "The sale was over when you ordered.",
  unknown_sku: "This is not on sale.",
};
const HEADLINES = { sold_out: "Sold out", not_enough_left: "Not enough left" };

let sku = "";
let sale = null;
let order = null; // as the client keeps it
let leave = new AbortController(); // ends what is going on with the order
let clock = null; // counts down to the next attempt

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
  showOthers(sales);
  setInterval(() => client.sales().then(showOthers, () => {}), OTHERS_MS);
  client.watchSale(sku, showSale, () => { $("state").textContent = "There is no such sale."; });
  resume(remembered(`order ${sku}`));
}

// Go on with an order where this page, or another one in this browser, left it.
function resume(found) {
  order = found && { sku, ...found };
  $("customer").value ||= remembered("customer") ?? "";
  if (order) buy();
}

// Sort sales: those that are open, then the next ones to open, then those that ended last.
function byInterest(one, other) {
  const rank = { open: 0, scheduled: 1, sold_out: 2, closed: 2 };
  const key = ({ state, opens_at, closes_at }) => ({
    open: -Date.parse(opens_at ?? 0),
    scheduled: Date.parse(opens_at),
    sold_out: -Date.now(),
    closed: -Date.parse(closes_at),
  })[state];
  return rank[one.state] - rank[other.state] || key(one) - key(other);
}

function showOthers(sales) {
  const others = sales.filter((other) => other.sku !== sku).sort(byInterest);
  $("sales").replaceChildren(...others.slice(0, 20).map((other) => {
    const link = document.createElement("a");
    link.href = `?sku=${encodeURIComponent(other.sku)}`;
    link.textContent = other.title ?? other.sku;
    const state = document.createElement("span");
    state.textContent = {
      open: "on sale now",
      sold_out: "sold out",
      scheduled: `begins at ${moment(other.opens_at)}`,
      closed: "over",
    }[other.state];
    const item = document.createElement("li");
    item.append(link, " ", state);
    return item;
  }));
  $("others").hidden = others.length === 0;
}

function showItem({ sku: item, title, price, currency, picture_url: picture }) {
  const name = title ?? item;
  document.title = `${name}: flash sale`;
  say("sku", name);
  say("price", [price, currency].filter(Boolean).join(" "));
  $("price").hidden = !price;
  if ($("picture").getAttribute("src") !== (picture ?? null)) {
    $("picture").hidden = true; // until it is loaded: a broken one is not shown
    if (picture) $("picture").src = picture;
    else $("picture").removeAttribute("src");
  }
}

$("picture").addEventListener("load", () => { $("picture").hidden = false; });

function showSale(seen) {
  sale = seen;
  showItem(sale);
  $("stock").textContent = `${number.format(sale.remaining)} of ${number.format(sale.stock)} left`;
  $("meter").max = Math.max(sale.stock, 1);
  $("meter").value = sale.remaining;
  say("state", {
    open: sale.customer_limit ? `At most ${sale.customer_limit} for each customer.` : "On sale now.",
    sold_out: "Sold out.",
    scheduled: `The sale begins at ${moment(sale.opens_at)}.`,
    closed: "This sale is over.",
  }[sale.state]);
  showForm();
}

function showForm() {
  $("form").hidden = order !== null;
  $("buy").disabled = sale?.state !== "open";
}

// ---- the order

// An order that is made in another tab is shown in this one, so that nobody orders twice by accident.
addEventListener("storage", ({ key, newValue }) => {
  if (sku && order === null && newValue && key === stored(`order ${sku}`)) resume(remembered(`order ${sku}`));
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
  order = null;
  remember(`order ${sku}`, null);
  $("order").hidden = true;
  showForm();
  $("customer").focus();
});

function buy() {
  leave.abort();
  leave = new AbortController();
  clearInterval(clock);
  const { signal } = leave;
  const told = (state) => {
    clearInterval(clock);
    if (state.status === "retrying") showPause(state);
    else if (state.status === "queued") showPlace(state.position, state.eta_seconds);
    else showEnd(state);
  };
  client.buy(order, { keep, tell: told, signal, patience: Infinity, replays: true }).catch((error) => {
    if (!signal.aborted) showError(error);
  });
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

function showEnd(seen) {
  if (seen.status === "confirmed") {
    show("It is yours!", `Your order ${order.id.slice(0, 8)} is confirmed.`, "", "good");
  } else if (seen.status === "failed") {
    show(
      "Something went wrong",
      "Your order could not be handled so far, and nothing is charged for it. If the shop tries it"
        + " again, you will see it here.",
      "",
      "bad",
    );
  } else {
    const why = seen.reason === "not_enough_left"
      ? `You ordered ${seen.quantity}, and ${seen.remaining ?? "fewer"} were left. A smaller order may still work.`
      : REASONS[seen.reason] ?? seen.detail ?? "";
    const more = seen.checking ? " We are still checking whether an earlier attempt of yours came through." : "";
    show(HEADLINES[seen.reason] ?? "No order was made", why + more, "", "bad");
  }
  $("again").hidden = false;
  if (!seen.again) $("headline").focus();
}

function showError({ kind, message }) {
  clearInterval(clock);
  const refused = kind && kind !== "outcome-unknown";
  show(
    refused ? "The shop does not answer you" : "We do not know about your order",
    refused ? message : "It may have come through. Load this page again to ask for it.",
    "",
    "bad",
  );
  $("headline").focus();
}

function show(headline, detail, place = "", mood = "") {
  $("form").hidden = true;
  $("again").hidden = true;
  $("order").hidden = false;
  $("order").className = `order ${mood}`;
  say("headline", headline);
  say("detail", detail);
  $("place").textContent = place;
}

function say(id, text) {
  // Change a text only if it is another one: a screen reader reads each change out.
  if ($(id).textContent !== text) $(id).textContent = text;
}

function moment(time) {
  return new Date(time).toLocaleString();
}

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} seconds`;
  return `${Math.round(seconds / 60)} minutes`;
}

// ---- the browser's memory

function keep(changed) {
  if (changed.key !== order?.key) return;
  order = changed;
  const latest = remembered(`order ${sku}`);
  // Another tab may have made a later order: a reload shows that one.
  if (!latest || latest.key === order.key) remember(`order ${sku}`, order);
}

function stored(name) {
  return `flashsale ${name}`;
}

function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(stored(name));
    else localStorage.setItem(stored(name), JSON.stringify(value));
  } catch {
    // Without storage a reload forgets the order; everything else works.
  }
}

function remembered(name) {
  try {
    return JSON.parse(localStorage.getItem(stored(name)));
  } catch {
    return null;
  }
}

function begin() {
  $("sku").textContent ||= "Loading…";
  start().catch(() => {
    $("state").textContent = "The shop does not answer. Trying again…";
    setTimeout(begin, AGAIN_MS * (1 + Math.random()));
  });
}
begin();
