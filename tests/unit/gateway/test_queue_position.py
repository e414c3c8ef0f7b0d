"""Positions in the queue: they never grow, and with one gateway they are exact."""

import time
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from gateway.state.drain.known_drain import KnownDrain
from gateway.state.queue_position import QueuePosition

RATE = 100


def a_queue() -> QueuePosition:
    return QueuePosition(KnownDrain(RATE))


def test_the_first_order_in_the_queue_is_next() -> None:
    queue = a_queue()
    numbers = [queue.join() for _ in range(3)]
    assert [queue.of(number) for number in numbers] == [1, 2, 3]
    queue.leave()
    assert [queue.of(number) for number in numbers[1:]] == [1, 2]


def test_orders_older_than_the_gateway_are_ahead() -> None:
    queue = a_queue()
    queue.unannounced = 10
    number = queue.join()
    assert queue.of(number) == 11
    queue.leave_unannounced()
    assert queue.of(number) == 10


def test_a_recount_finds_orders_that_were_not_announced() -> None:
    queue = a_queue()
    first = queue.join()
    queue.recount(ready=4)
    assert queue.of(queue.join()) == 5
    assert queue.of(first) == 1
    queue.recount(ready=3)  # two of them were decided unheard
    assert queue.unannounced == 1
    assert queue.of(queue.join()) == 4


def test_unannounced_orders_are_gone_when_the_queue_stays_empty() -> None:
    queue = a_queue()
    queue.unannounced = 10
    number = queue.join()
    for _ in range(9):
        queue.note_count(ready=0)
    assert queue.of(number) == 11
    queue.note_count(ready=1)
    for _ in range(10):
        queue.note_count(ready=0)
    assert queue.of(number) == 1


def test_the_eta_is_the_position_by_the_speed() -> None:
    queue = a_queue()
    assert queue.eta_seconds(50, consumers=1) == 0.5


def test_without_a_consumer_there_is_no_eta() -> None:
    assert a_queue().eta_seconds(1, consumers=0) is None


def test_a_queue_that_does_not_move_has_no_eta() -> None:
    queue = a_queue()
    queue.join()
    later = time.monotonic() + 4
    with patch.object(time, "monotonic", lambda: later):
        assert queue.eta_seconds(1, consumers=1) is None
        queue.leave()
        queue.join()
        assert queue.eta_seconds(1, consumers=1) is not None


def test_an_empty_queue_has_an_eta() -> None:
    queue = a_queue()
    later = time.monotonic() + 4
    with patch.object(time, "monotonic", lambda: later):
        assert queue.eta_seconds(1, consumers=1) is not None


@given(st.lists(st.sampled_from(["join", "leave", "unknown", "forget", "empty", "full"])))
def test_a_position_is_never_below_one_and_never_grows(steps: list[str]) -> None:
    queue = a_queue()
    queue.unannounced = 5
    number = queue.join()
    position = queue.of(number)
    for step in steps:
        match step:
            case "join":
                queue.join()
            case "leave" if queue.waiting:
                queue.leave()
            case "unknown":
                queue.leave_unannounced()
            case "forget" if queue.waiting:
                queue.forget()
            case "empty" | "full":
                queue.note_count(ready=0 if step == "empty" else 7)
        assert 1 <= queue.of(number) <= position
        position = queue.of(number)
        assert queue.waiting >= 0
        assert queue.unannounced >= 0


@given(st.integers(0, 50), st.integers(1, 50))
def test_with_one_gateway_the_position_is_exact(ahead: int, decided: int) -> None:
    queue = a_queue()
    for _ in range(ahead):
        queue.join()
    mine = queue.join()
    for _ in range(min(decided, ahead)):
        queue.leave()
    assert queue.of(mine) == ahead - min(decided, ahead) + 1


def test_the_speed_is_the_measured_one_and_none_while_nothing_moves() -> None:
    drain = KnownDrain(RATE)
    queue = QueuePosition(drain)
    drain.drained_per_second = 12.5
    assert queue.drained_per_second(consumers=1) == 12.5
    assert queue.drained_per_second(consumers=0) is None
    queue.join()
    later = time.monotonic() + 4
    with patch.object(time, "monotonic", lambda: later):
        assert queue.drained_per_second(consumers=1) is None


def test_nothing_moves_while_the_drain_takes_nothing() -> None:
    drain = KnownDrain(RATE)
    queue = QueuePosition(drain)
    drain.announced(RATE, 1, RATE, "receiver", time.time() + 5)
    assert queue.eta_seconds(10, consumers=1) is None
    drain.announced(RATE, RATE, RATE, None, None)
    assert queue.eta_seconds(10, consumers=1) == 0.1
