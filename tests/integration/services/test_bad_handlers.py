"""Whatever the handler of a service does, its other events are done, and its process ends."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from flashsale.messages.events import OrderEvent
from services import Effects, Retry, Unavailable
from tests.integration.services.bench import Bench, a_service, an_event, do

Bad = Callable[[Effects], Awaitable[None]]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("there are no words for this")


class OfItsOwn(BaseException):
    pass


def raises(error: BaseException) -> Bad:
    async def bad(_: Effects) -> None:
        raise error

    return bad


def runs(statement: str, **values: object) -> Bad:
    async def bad(effects: Effects) -> None:
        effects.run(statement, **values)  # type: ignore[arg-type]

    return bad


async def awaits_a_cancelled_task(_: Effects) -> None:
    task = asyncio.ensure_future(asyncio.sleep(10))
    task.cancel()
    await task


async def cancels_itself(_: Effects) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


INSERT = "INSERT INTO done_by_tests (event_id, times) VALUES (:event_id, :times)"

BAD = {
    "a half of a character": raises(ValueError("\udcff")),
    "a long reason": raises(ValueError("x" * 3_000_000)),
    "an error without words": raises(Unprintable()),
    "a group": raises(ExceptionGroup("several", [ValueError("one"), OSError("two")])),
    "a cancelled task": awaits_a_cancelled_task,
    "a cancellation of itself": cancels_itself,
    "an exit": raises(SystemExit(3)),
    "a base exception": raises(OfItsOwn("odd")),
    "an interrupt": raises(KeyboardInterrupt()),
    "a value of no type": runs(INSERT, event_id=object(), times=1),
    "a value that is missing": runs(INSERT, event_id="x"),
    "no SQL": runs("INSART INTO nowhere"),
    "an unknown column": runs("INSERT INTO done_by_tests (what) VALUES (:what)", what="x"),
    "a large number": runs(INSERT, event_id="x", times=2**80),
    "a half in a value": runs(INSERT, event_id="\udcff", times=1),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=[name.replace(" ", "-") for name in BAD])
async def test_a_handler_that_fails_in_an_odd_way_stops_no_other_event(
    bench: Bench, bad: Bad
) -> None:
    odd, others = [an_event() for _ in range(3)], [an_event() for _ in range(5)]
    ids = {event.event_id for event in odd}

    async def handle(event: OrderEvent, effects: Effects) -> None:
        if event.event_id in ids:
            await bad(effects)
        else:
            await do(event, effects)

    service = a_service(handle, concurrency=2, retry=Retry((0.05,)))
    async with bench.running(service):
        await bench.publish(*odd, *others)
        await bench.done(*others)
        await bench.dead(service, len(odd))
    assert bench.counted("flashsale_service_dead_events_total") == len(odd)
    assert not bench.stack.background.troubles()


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -5.0, 1e300])
async def test_an_odd_time_to_wait_is_no_pause_for_ever(bench: Bench, seconds: float) -> None:
    events = [an_event() for _ in range(3)]
    away = True

    async def handle(event: OrderEvent, effects: Effects) -> None:
        if away:
            raise Unavailable("away", retry_after=seconds)
        await do(event, effects)

    async with bench.running(a_service(handle)):
        await bench.publish(*events)
        if seconds < 1e9:
            away = False
            await bench.done(*events)
        else:
            await asyncio.sleep(0.5)
            assert bench.counted("flashsale_service_paused") == 1
            assert not bench.stack.background.troubles()


async def test_a_handler_that_ignores_its_end_does_not_keep_the_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.attempt._CANCEL_SECONDS", 0.2)
    others = [an_event() for _ in range(5)]
    stubborn = an_event()
    free = asyncio.Event()

    async def handle(event: OrderEvent, effects: Effects) -> None:
        while event.event_id == stubborn.event_id and not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        await do(event, effects)

    async with bench.running(a_service(handle, timeout_seconds=0.1)):
        await bench.publish(stubborn, *others)
        await bench.done(*others)
        started = time.monotonic()
    assert time.monotonic() - started < 8
    free.set()
