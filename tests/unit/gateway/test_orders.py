import asyncio

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from gateway.state.orders import Memory
from gateway.state.queue_position import Line


def memory(most: int = 100, seconds: float = 60) -> tuple[Memory, Line]:
    line = Line(100)
    return Memory(line, most, seconds), line


A, B, C = (OrderId(letter * 32) for letter in "abc")


def test_an_order_waits_and_is_decided() -> None:
    known, line = memory()
    order = known.taken(A, "tv", 1)
    assert (order.status, line.waiting) == (Status.QUEUED, 1)
    known.decided(A, Status.REJECTED, "sold_out", "tv", 1)
    assert (order.status, order.reason) == (Status.REJECTED, "sold_out")
    assert (line.waiting, line.served) == (0, 1)


def test_a_failed_order_that_is_tried_again_is_decided_after_all() -> None:
    known, line = memory()
    order = known.taken(A, "tv", 1)
    known.decided(A, Status.FAILED, "disk on fire", "", 0)
    known.decided(A, Status.CONFIRMED, None, "tv", 1)
    known.decided(A, Status.FAILED, "disk on fire", "", 0)
    assert (order.status, order.reason) == (Status.CONFIRMED, None)
    assert (line.waiting, line.served) == (0, 1)


def test_a_decision_is_never_taken_back() -> None:
    known, line = memory()
    known.taken(A, "tv", 1)
    known.decided(A, Status.CONFIRMED, None, "tv", 1)
    known.decided(A, Status.REJECTED, "sold_out", "tv", 1)
    known.taken(A, "tv", 1)
    order = known.get(A)
    assert order is not None
    assert order.status is Status.CONFIRMED
    assert (line.waiting, line.served) == (0, 1)


def test_a_decision_may_come_before_the_order_is_heard_of() -> None:
    known, line = memory()
    known.decided(A, Status.CONFIRMED, None, "tv", 1)
    assert known.taken(A, "tv", 1).status is Status.CONFIRMED
    assert line.waiting == 0


def test_the_oldest_is_forgotten_and_stays_in_line() -> None:
    known, line = memory(most=2)
    for order_id in (A, B, C):
        known.taken(order_id, "tv", 1)
    assert known.get(A) is None
    order = known.get(C)
    assert order is not None
    assert line.position(order.number) == 3
    known.decided(A, Status.CONFIRMED, None, "tv", 1)
    assert line.position(order.number) == 2
    assert len(known) == 2


def test_what_was_decided_long_ago_is_forgotten_and_what_waits_is_not() -> None:
    known, _ = memory(seconds=0)
    known.taken(A, "tv", 1)
    known.decided(A, Status.CONFIRMED, None, "tv", 1)
    known.taken(B, "tv", 1)
    assert known.get(A) is None
    known.taken(C, "tv", 1)
    assert known.get(B) is not None


def test_the_oldest_that_wait_are_found() -> None:
    known, _ = memory()
    for order_id in (A, B, C):
        known.taken(order_id, "tv", 1)
    known.decided(A, Status.CONFIRMED, None, "tv", 1)
    assert known.oldest_waiting(1, than_seconds=-1) == [B]
    assert known.oldest_waiting(9, than_seconds=-1) == [B, C]
    assert known.oldest_waiting(9, than_seconds=60) == []


async def test_who_waits_for_a_decision_is_told() -> None:
    known, _ = memory()
    order = known.taken(A, "tv", 1)
    waiting = [asyncio.create_task(asyncio.wait_for(order.decision(), 5))]
    await asyncio.sleep(0)
    known.decided(A, Status.CONFIRMED, None, "tv", 1)
    await asyncio.gather(*waiting)
    assert order.decision().done()
