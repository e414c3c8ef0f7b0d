"""A shopper or an operator cancels an order, and a shopper extends a hold."""

import time

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.ledger import Cancellation, Cancelled
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, until
from tests.integration.gateway.holds.provider import (
    a_payment,
    another,
    at_once,
    order,
    pay,
    status,
    stop_drain,
)


async def test_a_cancelled_hold_frees_its_item_at_once(gateway: EmbeddedGateway) -> None:
    order_id = await order(gateway, "lamp")
    waiting = await order(gateway, "lamp", "waitlisted")
    seen = await gateway.call("GET", f"/orders/{waiting}")
    assert seen.body["position"] == 1
    answer = await gateway.call("POST", f"/orders/{order_id}/cancel")
    assert (answer.status, answer.body["status"]) == (200, "cancelled")
    assert answer.body["reason"] == "by_customer"
    await status(gateway, waiting, "held")
    again = await gateway.call("POST", f"/orders/{order_id}/cancel")
    assert (again.status, again.body) == (200, answer.body)


async def test_an_order_that_is_bought_is_cancelled_if_the_sale_allows_it(
    gateway: EmbeddedGateway,
) -> None:
    fixed, free = await order(gateway, "radio"), await order(gateway, "free")
    for order_id in (fixed, free):
        assert (await pay(gateway, a_payment(order_id))).status == 200
    refused = await gateway.call("POST", f"/orders/{fixed}/cancel")
    assert (refused.status, refused.problem) == (409, "not-cancellable")
    answer = await gateway.call("POST", f"/orders/{free}/cancel")
    assert (answer.status, answer.body["status"]) == (200, "cancelled")


async def test_a_hold_is_extended_once_if_the_sale_allows_it(gateway: EmbeddedGateway) -> None:
    order_id = await order(gateway, "lamp")
    before = (await gateway.call("GET", f"/orders/{order_id}")).body
    assert before["extendable"] is True
    answer = await gateway.call("POST", f"/orders/{order_id}/extend")
    assert (answer.status, answer.body["extended"]) == (200, True)
    assert "extendable" not in answer.body
    assert answer.body["expires_in_seconds"] > before["expires_in_seconds"] + 500
    again = await gateway.call("POST", f"/orders/{order_id}/extend")
    assert (again.status, again.problem) == (409, "extended-already")
    fixed = await order(gateway, "radio")
    refused = await gateway.call("POST", f"/orders/{fixed}/extend")
    assert (refused.status, refused.problem) == (409, "not-extendable")
    bought = await order(gateway, "tv", "confirmed")
    none = await gateway.call("POST", f"/orders/{bought}/extend")
    assert (none.status, none.problem) == (409, "not-held")


async def test_an_order_that_nobody_knows_is_not_changed(gateway: EmbeddedGateway) -> None:
    for order_id in ("0" * 32, "nonsense"):
        for action in ("cancel", "extend"):
            answer = await gateway.call("POST", f"/orders/{order_id}/{action}")
            assert (answer.status, answer.problem) == (404, "unknown-order")


async def test_a_rejected_order_can_not_be_cancelled(gateway: EmbeddedGateway) -> None:
    rejected = await order(gateway, "tv", "rejected", quantity=6)
    answer = await gateway.call("POST", f"/orders/{rejected}/cancel")
    assert (answer.status, answer.problem) == (409, "order-over")


async def test_a_queued_order_that_is_cancelled_is_never_held(gateway: EmbeddedGateway) -> None:
    await stop_drain(gateway)
    answer = await gateway.order(sku="radio", customer_id="ann")
    order_id = answer.body["order_id"]
    cancelled = await gateway.call("POST", f"/orders/{order_id}/cancel")
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    gateway.drain()
    await order(gateway, "radio", customer_id="bob")  # it comes from the queue after the other
    seen = await gateway.call("GET", f"/orders/{order_id}")
    assert seen.body["status"] == "cancelled"
    [found] = (await gateway.stack.ledger.find([order_id])).values()
    assert (found.status, found.order.customer_id) == (Status.CANCELLED, "ann")
    assert (await gateway.stack.ledger.find_sale("radio")).held == 1


async def test_changes_at_the_same_moment_end_in_one_state(gateway: EmbeddedGateway) -> None:
    """A payment and cancellations: either comes first, and the money is never lost."""
    for _ in range(5):
        order_id = await order(gateway, "free")
        paid, *cancelled = await at_once(
            pay(gateway, a_payment(order_id)),
            *(gateway.call("POST", f"/orders/{order_id}/cancel") for _ in range(3)),
        )
        assert {answer.status for answer in cancelled} == {200}
        assert paid.body["result"] in ("confirmed", "refund_due")
        assert (await gateway.call("GET", f"/orders/{order_id}")).body["status"] == "cancelled"
    sale = await gateway.stack.ledger.find_sale("free")
    assert (sale.held, sale.sold) == (0, 0)


async def test_a_gateway_that_does_not_know_the_order_finds_it(
    gateway: EmbeddedGateway,
) -> None:
    paid, cancelled, extended = [await order(gateway, sku) for sku in ("radio", "free", "lamp")]
    async with another(gateway) as other:
        assert (await pay(other, a_payment(paid))).body["result"] == "confirmed"
        answer = await other.call("POST", f"/orders/{cancelled}/cancel")
        assert (answer.status, answer.body["status"]) == (200, "cancelled")
        answer = await other.call("POST", f"/orders/{extended}/extend")
        assert (answer.status, answer.body["extended"]) == (200, True)
        for order_id, wanted in ((paid, "confirmed"), (cancelled, "cancelled")):
            assert (await other.call("GET", f"/orders/{order_id}")).body["status"] == wanted
            # The other gateway has announced it.
            await status(gateway, order_id, wanted)
    await until(
        lambda: gateway.call("GET", f"/orders/{extended}"),
        lambda seen: seen.body.get("extended", False),
    )


async def test_a_gateway_that_was_cut_off_sees_what_is_cancelled_after_it_was_paid(
    gateway: EmbeddedGateway,
) -> None:
    order_id = await order(gateway, "free")
    assert (await pay(gateway, a_payment(order_id))).body["result"] == "confirmed"
    gateway.context.orders.stop_hearing()
    done = await gateway.stack.ledger.cancel(Cancellation(order_id), time.time())
    assert isinstance(done, Cancelled)
    seen = (await gateway.call("GET", f"/orders/{order_id}")).body
    assert seen["status"] == "cancelled"


async def test_a_gateway_that_was_cut_off_sees_what_is_paid_after_it_expired(
    gateway: EmbeddedGateway,
) -> None:
    order_id = await order(gateway, "free")
    assert (await pay(gateway, a_payment(order_id))).body["result"] == "confirmed"
    known = gateway.context.orders.get(OrderId(order_id))
    assert known is not None
    known.status = Status.EXPIRED  # as it was before the payment, which it did not hear of
    gateway.context.orders.stop_hearing()
    seen = (await gateway.call("GET", f"/orders/{order_id}")).body
    assert seen["status"] == "confirmed"
