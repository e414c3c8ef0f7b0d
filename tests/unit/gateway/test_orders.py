"""The orders that a gateway knows: how they are remembered, decided and forgotten."""

import asyncio
from collections.abc import Callable
from itertools import permutations

import msgspec
import pytest

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import DeliveryState, Status
from flashsale.messages.announcements import Decision
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.early_moves import EarlyMoves
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
    waiting = [asyncio.create_task(asyncio.wait_for(order.change(), 5))]
    await asyncio.sleep(0)
    orders.add_decided(Decision(A, Status.CONFIRMED, None, "tv", 1))
    await asyncio.gather(*waiting)
    assert not order.change().done()


def delivered(state: DeliveryState, ref: str | None = None) -> Decision:
    return Decision(A, Status.CONFIRMED, None, "tv", 1, None, "ann", order_ref=ref, delivery=state)


def test_the_delivery_of_a_confirmed_order_goes_on_and_never_back() -> None:
    orders, queue_position = known_orders()
    order = orders.add_taken(A, "tv", 1)
    orders.add_decided(delivered(DeliveryState.PENDING))
    assert (order.status, order.delivery, order.order_ref) == ("confirmed", "pending", None)
    orders.add_decided(delivered(DeliveryState.FAILED))
    assert order.delivery == "failed"
    orders.add_decided(delivered(DeliveryState.PENDING))
    assert order.delivery == "pending"
    orders.add_decided(delivered(DeliveryState.DELIVERED, "A-7"))
    for late in DeliveryState:
        orders.add_decided(delivered(late))
        assert (order.delivery, order.order_ref) == ("delivered", "A-7")
    assert queue_position.served == 1


def test_an_order_whose_delivery_is_pending_is_looked_up_after_a_while() -> None:
    orders, _ = known_orders()
    orders.add_decided(delivered(DeliveryState.PENDING))
    assert orders.oldest_waiting(10, than_seconds=60) == []
    assert orders.oldest_waiting(10, than_seconds=-1) == [A]
    orders.add_decided(delivered(DeliveryState.DELIVERED))
    assert orders.oldest_waiting(10, than_seconds=-1) == []


def test_a_forgotten_order_is_not_looked_up_for_its_delivery() -> None:
    orders, _ = known_orders(seconds=0)
    orders.add_decided(delivered(DeliveryState.PENDING))
    orders.add_taken(B, "tv", 1)
    assert orders.get(A) is None
    assert orders.oldest_waiting(10, than_seconds=-1) == [B]


def test_a_held_order_moves_on_and_never_back() -> None:
    orders, _ = known_orders()
    orders.add_taken(A, "tv", 1)
    held = Decision(A, Status.HELD, None, "tv", 1, expires_at=600.0)
    order = orders.add_decided(held)
    assert (order.status, order.expires_at) == (Status.HELD, 600.0)
    orders.add_moved(msgspec.structs.replace(held, expires_at=1200.0, extended=True))
    assert order.expires_at == 1200.0
    orders.add_moved(held)  # comes late
    assert order.expires_at == 1200.0
    orders.add_moved(Decision(A, Status.CONFIRMED, None, "tv", 1, expires_at=1200.0))
    orders.add_decided(held)
    assert order.status is Status.CONFIRMED


@pytest.mark.parametrize(
    "moves",
    [
        [Status.CONFIRMED],
        [Status.EXPIRED],
        [Status.EXPIRED, Status.CONFIRMED],
        [Status.CONFIRMED, Status.CANCELLED],
    ],
)
def test_announcements_of_different_processes_come_in_any_order(moves: list[Status]) -> None:
    news: list[Callable[[KnownOrders], object]] = [
        lambda orders: orders.add_taken(A, "tv", 1),
        lambda orders: orders.add_all_decided(
            [Decision(A, Status.HELD, None, "tv", 1, expires_at=600.0)]
        ),
        *(
            lambda orders, move=move: orders.add_moved(Decision(A, move, None, "tv", 1))
            for move in moves
        ),
    ]
    for arrival in permutations(news):
        orders, _ = known_orders()
        for tell in arrival:
            tell(orders)
        order = orders.get(A)
        assert order is not None
        assert order.status is moves[-1]
        assert orders.open.all() == []
        assert orders.oldest_waiting(10, than_seconds=-1) == []


def test_a_purchase_that_is_cancelled_before_it_is_announced_is_known_as_cancelled() -> None:
    orders, _ = known_orders()
    orders.add_moved(Decision(A, Status.CANCELLED, "by_customer", "tv", 1))
    orders.add_taken(A, "tv", 1)
    orders.add_all_decided([Decision(A, Status.CONFIRMED, None, "tv", 1)])
    order = orders.get(A)
    assert order is not None
    assert order.status is Status.CANCELLED


def test_an_extension_that_comes_before_its_hold_is_known() -> None:
    orders, _ = known_orders()
    held = Decision(A, Status.HELD, None, "tv", 1, expires_at=600.0)
    orders.add_moved(msgspec.structs.replace(held, expires_at=1200.0, extended=True))
    order = orders.add_decided(held)
    assert (order.expires_at, order.extended) == (1200.0, True)


def test_states_of_orders_that_are_never_announced_take_no_memory() -> None:
    moves = EarlyMoves()
    for number in range(3_000):
        moves.keep(Decision(str(number), Status.EXPIRED, None, "tv", 1))
    assert sum(str(number) in moves for number in range(3_000)) == 1_000


def test_a_queued_order_that_is_cancelled_waits_no_more() -> None:
    orders, _ = known_orders()
    order = orders.add_taken(A, "tv", 1)
    orders.add_moved(Decision(A, Status.CANCELLED, "by_customer", "tv", 1))
    orders.add_moved(Decision(B, Status.CANCELLED, "by_customer", "tv", 1))
    assert order.status is Status.CANCELLED
    assert orders.get(B) is None
    assert orders.oldest_waiting(10, than_seconds=-1) == []


def test_open_orders_are_doubted_in_turn_once_their_news_may_be_lost() -> None:
    orders, _ = known_orders()
    orders.add_decided(Decision(A, Status.HELD, None, "tv", 1, expires_at=600.0))
    orders.add_decided(Decision(B, Status.WAITLISTED, None, "tv", 1, place=1))
    assert orders.open.doubtful(600.0) == [B]
    assert set(orders.open.doubtful(700.0)) == {A, B}
    orders.add_moved(Decision(A, Status.EXPIRED, None, "tv", 1, expires_at=600.0))
    orders.add_moved(Decision(B, Status.REJECTED, "sold_out", "tv", 1))
    assert orders.open.doubtful(700.0) == []
