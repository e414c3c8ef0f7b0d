"""The orders that a gateway knows: how they are remembered, decided and forgotten."""

import asyncio

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.messages.announcements import Decision
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.orders import KnownOrders
from gateway.state.queue_position import QueuePosition


def known_orders(most: int = 100, seconds: float = 60) -> tuple[KnownOrders, QueuePosition]:
    queue_position = QueuePosition(KnownDrain(100))
    return KnownOrders(queue_position, most, seconds), queue_position


A, B, C = (OrderId(letter * 32) for letter in "abc")


def test_an_order_waits_and_is_decided() -> None:
    orders, queue_position = known_orders()
    order = orders.add_taken(A, "tv", 1)
    assert (order.status, queue_position.waiting) == (Status.QUEUED, 1)
    orders.add_decided(Decision(A, Status.REJECTED, "sold_out", "tv", 1))
    assert (order.status, order.reason) == (Status.REJECTED, "sold_out")
    assert (queue_position.waiting, queue_position.served) == (0, 1)


def test_a_failed_order_that_is_replayed_can_be_decided() -> None:
    orders, queue_position = known_orders()
    order = orders.add_taken(A, "tv", 1)
    orders.add_decided(Decision(A, Status.FAILED, "disk on fire", "", 0))
    orders.add_decided(Decision(A, Status.CONFIRMED, None, "tv", 1))
    orders.add_decided(Decision(A, Status.FAILED, "disk on fire", "", 0))
    assert (order.status, order.reason) == (Status.CONFIRMED, None)
    assert (queue_position.waiting, queue_position.served) == (0, 1)


def test_a_decision_is_never_taken_back() -> None:
    orders, queue_position = known_orders()
    orders.add_taken(A, "tv", 1)
    orders.add_decided(Decision(A, Status.CONFIRMED, None, "tv", 1))
    orders.add_decided(Decision(A, Status.REJECTED, "sold_out", "tv", 1))
    orders.add_taken(A, "tv", 1)
    order = orders.get(A)
    assert order is not None
    assert order.status is Status.CONFIRMED
    assert (queue_position.waiting, queue_position.served) == (0, 1)


def test_a_decision_may_come_before_the_order_is_announced() -> None:
    orders, queue_position = known_orders()
    orders.add_decided(Decision(A, Status.CONFIRMED, None, "tv", 1))
    assert orders.add_taken(A, "tv", 1).status is Status.CONFIRMED
    assert queue_position.waiting == 0


def test_the_oldest_order_is_forgotten_and_keeps_its_place_in_the_queue() -> None:
    orders, queue_position = known_orders(most=2)
    for order_id in (A, B, C):
        orders.add_taken(order_id, "tv", 1)
    assert orders.get(A) is None
    order = orders.get(C)
    assert order is not None
    assert queue_position.of(order.number) == 3
    orders.add_decided(Decision(A, Status.CONFIRMED, None, "tv", 1))
    assert queue_position.of(order.number) == 2
    assert len(orders) == 2


def test_an_order_decided_long_ago_is_forgotten_and_a_waiting_one_is_not() -> None:
    orders, _ = known_orders(seconds=0)
    orders.add_taken(A, "tv", 1)
    orders.add_decided(Decision(A, Status.CONFIRMED, None, "tv", 1))
    orders.add_taken(B, "tv", 1)
    assert orders.get(A) is None
    orders.add_taken(C, "tv", 1)
    assert orders.get(B) is not None


def test_the_oldest_waiting_orders_are_found() -> None:
    orders, _ = known_orders()
    for order_id in (A, B, C):
        orders.add_taken(order_id, "tv", 1)
    orders.add_decided(Decision(A, Status.CONFIRMED, None, "tv", 1))
    assert orders.oldest_waiting(1, than_seconds=-1) == [B]
    assert orders.oldest_waiting(9, than_seconds=-1) == [B, C]
    assert orders.oldest_waiting(9, than_seconds=60) == []


async def test_a_task_that_waits_for_a_decision_is_woken() -> None:
    orders, _ = known_orders()
    order = orders.add_taken(A, "tv", 1)
    waiting = [asyncio.create_task(asyncio.wait_for(order.decision(), 5))]
    await asyncio.sleep(0)
    orders.add_decided(Decision(A, Status.CONFIRMED, None, "tv", 1))
    await asyncio.gather(*waiting)
    assert order.decision().done()
