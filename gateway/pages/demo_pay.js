// A demonstration of the page of a payment provider: it tells the gateway that an order is paid, or is not.

import { SaleClient } from "../client.js";

const client = new SaleClient();
const $ = (id) => document.getElementById(id);
const orderId = location.pathname.split("/").pop();

const NOT_TO_PAY = {
  queued: "Your order is still in line. There is nothing to pay yet.",
  waitlisted: "Nothing is held for you yet. There is nothing to pay.",
  confirmed: "Your order is paid.",
  rejected: "There is nothing to pay: no order was made.",
  failed: "There is nothing to pay: your order could not be handled.",
};
const RESULTS = {
  confirmed: "Your order is paid.",
  failed: "The payment has failed. You may try again.",
  refund_due: "Your payment came too late, or a second time. You get your money back.",
};

async function begin() {
  const order = await client.look(orderId);
  const { title, price, currency } = await client.sale(order.sku).catch(() => ({}));
  $("item").textContent = `${order.quantity} × ${title ?? order.sku}`;
  $("due").textContent = price ? `${price} ${currency ?? ""}${order.quantity > 1 ? " each" : ""}` : "";
  if (order.sku) $("back").href = `../../?sku=${encodeURIComponent(order.sku)}`;
  $("words").textContent = NOT_TO_PAY[order.status] ?? "";
  // Who pays too late can be shown, too: a provider would not know of it either.
  $("pay").hidden = $("fail").hidden = order.status in NOT_TO_PAY;
}

async function tell(outcome) {
  $("pay").disabled = $("fail").disabled = true;
  const { status, body } = await client.request(`demo/pay/${encodeURIComponent(orderId)}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ outcome }),
  });
  $("pay").disabled = $("fail").disabled = false;
  $("words").textContent = RESULTS[body.result] ?? body.detail ?? "The shop does not answer. Please try again.";
  $("item").focus();
  if (status !== 200 || body.result === "refund_due") return;
  location.assign($("back").href);
}

$("pay").addEventListener("click", () => tell("succeeded"));
$("fail").addEventListener("click", () => tell("failed"));

begin().catch((error) => {
  $("item").textContent = "This order can't be paid";
  $("words").textContent = error.message;
});
