// The shopper's page: shows the sale live, sends an order, and follows it to its decision.
// The browser stores the order before it is sent, so that a reload finds it again.

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const POLL_MS = 2000;
const OTHERS_MS = 30000;
// An outcome that may change is looked at again, ever more seldom. Most of the refused orders for
// which there may be an earlier attempt have none, so that this ends after a few minutes.
const LOOK_AGAIN_MS = 2000;
const LOOK_AGAIN_SLOWER = 1.5;
const LOOK_AGAIN_LONGEST_MS = 60000;
const LOOKS_FOR_AN_EARLIER_ATTEMPT = 10;

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
// {key, customer, sent, unsure, id, final}. `sent`: an answer is outstanding, or was lost. `unsure`:
// an attempt before the latest one may have been taken, though nothing is known of it.
let order = null;
let ticket = null; // {number}

// ---- the sale

async function start() {
  const { sales } = await json("sales");
  sku = new URLSearchParams(location.search).get("sku") || sales.sort(byInterest)[0]?.sku || "";
  if (!sku) {
    $("sku").textContent = "No sale today";
    say("state", "Come back later.");
    setTimeout(begin, OTHERS_MS * (1 + Math.random()));
    return;
  }
  showItem({ sku });
  showOthers(sales);
  setInterval(() => json("sales").then((now) => showOthers(now.sales), () => {}), OTHERS_MS);
  watchSale();
  resume(remembered(`order ${sku}`));
}

// Go on with an order where this page, or another one in this browser, left it.
function resume(found) {
  order = found;
  $("customer").value ||= remembered("customer") ?? "";
  if (order?.final) showEnd(order.final, false, 0);
  else if (order?.id) follow();
  else if (order) send();
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

function watchSale() {
  const path = `sales/${encodeURIComponent(sku)}`;
  const poll = async () => {
    try {
      showSale(await json(path));
    } catch (error) {
      if (error.status === 404) {
        $("state").textContent = "There is no such sale.";
        return;
      }
    }
    setTimeout(poll, POLL_MS);
  };
  listen(`${path}/events`, { sale: showSale }, poll);
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
  // All attempts at this order have the same key: however often it is sent, it is one order.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const key = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  order = { key, customer };
  remember(`order ${sku}`, order);
  show("Sending your order…", "");
  $("headline").focus();
  send();
});

$("again").addEventListener("click", () => {
  order = null;
  remember(`order ${sku}`, null);
  $("order").hidden = true;
  showForm();
  $("customer").focus();
});

async function send() {
  keep({ ...order, sent: true, unsure: order.unsure || order.sent });
  let answer;
  try {
    answer = await fetch("orders", {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": order.key },
      body: JSON.stringify({ sku, customer_id: order.customer }),
    });
  } catch {
    return sendAgain(2, "The connection was lost.");
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 202) {
    keep({ ...order, sent: false, unsure: false, id: body.order_id });
    return follow();
  }
  const unsure = order.unsure || body.earlier_attempt === "unknown";
  const refused = answer.status >= 400 && answer.status < 500 && String(body.type).startsWith("/problems/");
  // Whatever else answers, such as a proxy, does not know what became of the order.
  if (!refused || answer.status === 408 || answer.status === 429) {
    const seconds = Number(answer.headers.get("Retry-After")) || 2;
    const full = body.type === "/problems/queue-full";
    if (full || answer.status === 429) keep({ ...order, sent: false, unsure });
    return sendAgain(seconds, full ? "Many people are ordering right now." : "The shop is busy.");
  }
  const reason = { "/problems/sold-out": "sold_out", "/problems/sale-closed": "sale_closed",
    "/problems/sale-not-open": "sale_not_open" }[body.type];
  keep({ ...order, sent: false, unsure, id: body.order_id });
  showEnd({ status: "rejected", reason, detail: body.detail ?? body.title });
}

function sendAgain(seconds, why) {
  // Wait a random time longer than asked, so that the clients do not come back as one wave.
  const at = Date.now() + seconds * 1000 * (1 + Math.random() / 2);
  const mine = order;
  const tick = () => {
    if (order !== mine) return;
    const left = Math.ceil((at - Date.now()) / 1000);
    if (left <= 0) return send();
    const known = !order.sent && !order.unsure;
    show(
      known ? "Hold on: your order is not in line yet" : "Hold on: we ask for your order",
      `${why} We try again by ourselves, you need not do anything.`,
      `${left} s`,
    );
    setTimeout(tick, 250);
  };
  tick();
}

function follow() {
  const mine = order;
  const path = `orders/${order.id}`;
  const ended = (seen) => {
    stop();
    if (order === mine) showEnd(seen);
  };
  const poll = async () => {
    if (order !== mine) return;
    try {
      const seen = await json(path, { headers: { Prefer: "wait=20" } });
      if (seen.status !== "queued") return ended(seen);
      showPlace(seen.position, seen.eta_seconds);
    } catch (error) {
      // No gateway knows the order: send it again. The same key makes it the same order.
      if (error.status === 404) return send();
    }
    setTimeout(poll, POLL_MS);
  };
  const stop = listen(`${path}/events`, {
    queued: (seen) => {
      ticket = { number: seen.number };
      showPlace(seen.position, seen.eta_seconds);
    },
    progress: ({ served, drained_per_second: speed }) => {
      const place = Math.max(1, ticket.number - served);
      showPlace(place, speed === null ? null : place / speed);
    },
    confirmed: ended,
    rejected: ended,
    failed: ended,
  }, poll);
}

// What was told may not be the last word. A failed order may be tried again by the shop, and one that
// was refused may have been taken at an earlier attempt, whose answer was lost.
function lookAgain(wait, looks = 1) {
  const { key, id, final } = order;
  setTimeout(async () => {
    if (order?.key !== key) return;
    let seen = null;
    try {
      seen = await json(`orders/${id}`);
    } catch {
      // Not known, or no answer: it is asked for again.
    }
    if (order?.key !== key) return;
    if (seen && (final.status !== "failed" || seen.status !== "failed")) {
      keep({ ...order, unsure: false, final: null });
      return seen.status === "queued" ? follow() : showEnd(seen);
    }
    if (final.status !== "failed" && looks >= LOOKS_FOR_AN_EARLIER_ATTEMPT) {
      keep({ ...order, unsure: false });
      return showEnd(final, false);
    }
    lookAgain(Math.min(Math.max(wait, LOOK_AGAIN_MS) * LOOK_AGAIN_SLOWER, LOOK_AGAIN_LONGEST_MS), looks + 1);
  }, wait);
}

// ---- what is shown

function showPlace(place, eta) {
  show(
    "You are in line",
    eta === null
      ? "The line is not moving right now. Your place is kept."
      : `${eta < 1.5 ? "A moment" : `About ${duration(eta)}`} to go. You may close this page and come back.`,
    `#${number.format(place)}`,
  );
}

function showEnd(seen, fresh = true, wait = LOOK_AGAIN_MS) {
  if (order) keep({ ...order, final: seen });
  const unsure = seen.status === "rejected" && order?.unsure && order.id;
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
    const more = unsure ? " We are still checking whether an earlier attempt of yours came through." : "";
    show(HEADLINES[seen.reason] ?? "No order was made", why + more, "", "bad");
  }
  if (unsure || (seen.status === "failed" && order?.id)) lookAgain(wait);
  $("again").hidden = false;
  if (fresh) $("headline").focus();
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

// ---- the browser's memory, streams and requests

function keep(changed) {
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

// Hear the events of a stream until the returned function is called, or the stream is lost for good. A
// browser opens few connections to a site for all of its tabs, so a hidden page holds none.
function listen(path, hear, lost) {
  let stream = null;
  const stop = () => {
    document.removeEventListener("visibilitychange", turn);
    stream?.close();
  };
  const turn = () => {
    stream?.close();
    if (document.hidden) return;
    const opened = stream = new EventSource(path);
    for (const [name, heard] of Object.entries(hear)) {
      opened.addEventListener(name, (event) => heard(JSON.parse(event.data)));
    }
    opened.onerror = () => {
      if (opened !== stream || opened.readyState !== EventSource.CLOSED) return;
      stop();
      lost();
    };
  };
  document.addEventListener("visibilitychange", turn);
  turn();
  return stop;
}

async function json(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) throw Object.assign(new Error(path), { status: answer.status });
  return answer.json();
}

function begin() {
  $("sku").textContent ||= "Loading…";
  start().catch(() => {
    $("state").textContent = "The shop does not answer. Trying again…";
    setTimeout(begin, POLL_MS * (1 + Math.random()));
  });
}
begin();
