// The sales: their stock, and whether they are open.

import { ask } from "./dialog.js";
import { newKey, read, send } from "./requests.js";
import { count, element, fill, make, moment, say } from "./words.js";

const PATH = "admin/sales";
const HOME = element("sales-title");
const STATES = { scheduled: "not yet open", open: "open", sold_out: "sold out", closed: "closed" };
const rows = new Map();

export async function showSales(after) {
  const { sales } = (await read(PATH)).body;
  say(element("sales-state"), sales.length ? "" : "There is no sale.");
  const skus = sales.map(({ sku }) => sku);
  for (const sale of sales) {
    if (!rows.has(sale.sku)) rows.set(sale.sku, newRow(after));
    show(rows.get(sale.sku), sale);
  }
  for (const sku of rows.keys()) if (!skus.includes(sku)) rows.delete(sku);
  // A row that is put in again loses the focus.
  const made = skus.map((sku) => rows.get(sku).element);
  const there = [...element("sales").children];
  if (made.length !== there.length || made.some((row, index) => row !== there[index])) fill(element("sales"), made);
}

// A row stays as it is while its sale sells: a button must not go away under a finger.
function newRow(after) {
  const row = { sale: null, cells: {}, buttons: {} };
  const cell = (name, className = "") => (row.cells[name] = make("td", { className }));
  const button = (name, words, work) => {
    const made = make("button", { type: "button", textContent: words });
    made.addEventListener("click", () => work(row.sale, after));
    return (row.buttons[name] = made);
  };
  row.cells.sku = make("th", { scope: "row" });
  const buttons = [
    button("stock", "Add stock…", askStock),
    button("open", "Open…", askOpen),
    button("close", "Close…", askClose),
  ];
  row.element = make(
    "tr",
    {},
    row.cells.sku,
    cell("state"),
    cell("stock", "number"),
    cell("sold", "number"),
    cell("remaining", "number"),
    cell("opens_at", "moment"),
    cell("closes_at", "moment"),
    make("td", { className: "change" }, make("div", { className: "buttons" }, ...buttons)),
  );
  return row;
}

function show(row, sale) {
  const { cells, buttons } = row;
  row.sale = sale;
  say(cells.sku, sale.sku);
  say(cells.state, STATES[sale.state] ?? sale.state);
  say(cells.stock, sale.stock === null ? "the shop's" : count(sale.stock));
  say(cells.sold, count(sale.sold));
  say(cells.remaining, sale.remaining === null ? "–" : count(sale.remaining));
  for (const name of ["opens_at", "closes_at"]) say(cells[name], moment(sale[name]));
  const theirs = sale.stock === null;
  const shut = sale.state === "closed" || sale.state === "scheduled";
  buttons.stock.hidden = theirs;
  // If the shop has something left again, an operator opens the sale.
  buttons.open.hidden = !shut && !(theirs && sale.state === "sold_out");
  buttons.close.hidden = shut;
  for (const button of Object.values(buttons)) {
    button.setAttribute("aria-label", `${button.textContent.replace("…", "")}: ${sale.sku}`);
  }
}

function left({ remaining }, words) {
  return remaining === null ? "The stock is the shop's." : `${count(remaining)} items ${words}.`;
}

function post(sale, what, body, key) {
  const path = `${PATH}/${encodeURIComponent(sale.sku)}/${what}`;
  return send("POST", path, body, { tag: `"${sale.version}"`, key });
}

function askStock(sale, after) {
  const key = newKey();
  ask({
    title: `Add stock to ${sale.sku}`,
    words: ({ add }) => {
      const stock = sale.stock + (add ?? 0);
      const open = sale.state === "sold_out" ? " It is sold out now, and is open again at once if items are left." : "";
      return `Of ${sale.sku}, ${count(sale.sold)} of ${count(sale.stock)} are sold. The stock becomes ${count(stock)}, of which ${count(stock - sale.sold)} are left.${open} A negative number takes stock away, never what is sold.`;
    },
    fields: [{ name: "add", label: "Items to add", type: "number", step: 1, required: true, inputMode: "numeric" }],
    action: "Add stock",
    send: async ({ add, reason }) => {
      await post(sale, "stock", { add, reason }, key);
      return `The stock of ${sale.sku} is ${count(sale.stock + add)}.`;
    },
    home: HOME,
    after,
  });
}

function askOpen(sale, after) {
  const key = newKey();
  ask({
    title: `Open ${sale.sku} now`,
    words: () => `The sale of ${sale.sku} is open from now on, at all gateways within a second. ${left(sale, "are left")}`,
    action: "Open the sale",
    send: async ({ reason }) => {
      await post(sale, "open", { reason }, key);
      return `${sale.sku} is open.`;
    },
    home: HOME,
    after,
  });
}

function askClose(sale, after) {
  const key = newKey();
  ask({
    title: `Close ${sale.sku} now`,
    words: () => `The sale of ${sale.sku} ends now: new orders are refused. Orders that were accepted before are still decided. ${left(sale, "stay unsold")}`,
    action: "Close the sale",
    send: async ({ reason }) => {
      await post(sale, "close", { reason }, key);
      return `${sale.sku} is closed.`;
    },
    home: HOME,
    after,
  });
}
