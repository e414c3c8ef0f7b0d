import time
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from gateway.state.queue_position import Line

RATE = 100


def test_the_first_in_line_is_next() -> None:
    line = Line(RATE)
    numbers = [line.join() for _ in range(3)]
    assert [line.position(number) for number in numbers] == [1, 2, 3]
    line.leave()
    assert [line.position(number) for number in numbers[1:]] == [1, 2]


def test_who_was_there_before_the_gateway_is_ahead() -> None:
    line = Line(RATE)
    line.strangers = 10
    number = line.join()
    assert line.position(number) == 11
    line.leave_unknown()
    assert line.position(number) == 10


def test_strangers_are_gone_when_the_queue_stays_empty() -> None:
    line = Line(RATE)
    line.strangers = 10
    number = line.join()
    for _ in range(9):
        line.counted(ready=0)
    assert line.position(number) == 11
    line.counted(ready=1)
    for _ in range(10):
        line.counted(ready=0)
    assert line.position(number) == 1


def test_the_eta_is_the_place_by_the_rate() -> None:
    line = Line(RATE)
    assert line.eta_seconds(50, drains=1) == 0.5


def test_nobody_drains_so_nobody_knows_when() -> None:
    assert Line(RATE).eta_seconds(1, drains=0) is None


def test_a_line_that_does_not_move_says_so() -> None:
    line = Line(RATE)
    line.join()
    later = time.monotonic() + 4
    with patch.object(time, "monotonic", lambda: later):
        assert line.eta_seconds(1, drains=1) is None
        line.leave()
        line.join()
        assert line.eta_seconds(1, drains=1) is not None


def test_an_empty_line_does_not_stand_still() -> None:
    line = Line(RATE)
    later = time.monotonic() + 4
    with patch.object(time, "monotonic", lambda: later):
        assert line.eta_seconds(1, drains=1) is not None


@given(st.lists(st.sampled_from(["join", "leave", "unknown", "forget", "empty", "full"])))
def test_a_place_is_never_below_one_and_never_grows(steps: list[str]) -> None:
    line = Line(RATE)
    line.strangers = 5
    number = line.join()
    position = line.position(number)
    for step in steps:
        match step:
            case "join":
                line.join()
            case "leave" if line.waiting:
                line.leave()
            case "unknown":
                line.leave_unknown()
            case "forget" if line.waiting:
                line.forget()
            case "empty" | "full":
                line.counted(ready=0 if step == "empty" else 7)
        assert 1 <= line.position(number) <= position
        position = line.position(number)
        assert line.waiting >= 0
        assert line.strangers >= 0


@given(st.integers(0, 50), st.integers(1, 50))
def test_with_one_gateway_the_place_is_exact(ahead: int, decided: int) -> None:
    line = Line(RATE)
    for _ in range(ahead):
        line.join()
    mine = line.join()
    for _ in range(min(decided, ahead)):
        line.leave()
    assert line.position(mine) == ahead - min(decided, ahead) + 1
