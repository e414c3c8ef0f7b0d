// What the shopper's page shows of the sale, and of the other sales.

import { $, moment, number, say } from "./words.js";

// Sort sales: those that are open, then the next ones to open, then those that ended last.
export function byInterest(one, other) {
  const rank = { open: 0, scheduled: 1, sold_out: 2, closed: 2 };
  const key = ({ state, opens_at, closes_at }) => ({
    open: -Date.parse(opens_at ?? 0),
    scheduled: Date.parse(opens_at),
    sold_out: -Date.now(),
    closed: -Date.parse(closes_at),
  })[state];
  return rank[one.state] - rank[other.state] || key(one) - key(other);
}

export function showOthers(sales, sku) {
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

export function showItem({ sku: item, title, price, currency, picture_url: picture }) {
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

// What others hold may be free again. Until then orders can wait for it, or try.
export function allHeld({ remaining, held, waitlist, waiting }) {
  if (!held || remaining > 0) return null;
  return waiting < waitlist
    ? "Everything is held right now. New orders wait in line for a freed one."
    : "Everything is held right now. Something may be free again soon.";
}

// Nobody here knows what is left of a stock that is the shop's own.
export function showStock({ stock, remaining, sold, held }) {
  $("meter").hidden = stock === null;
  if (stock === null) {
    $("stock").textContent = sold ? `${number.format(sold)} sold` : "";
    return;
  }
  const others = held ? `, ${number.format(held)} held` : "";
  $("stock").textContent = `${number.format(remaining)} of ${number.format(stock)} left${others}`;
  $("meter").max = Math.max(stock, 1);
  $("meter").value = remaining;
}
