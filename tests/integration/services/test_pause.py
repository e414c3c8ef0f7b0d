"""The other side of a service is away: no event dies of it, and none is done twice."""

import time
from collections import Counter

import pytest

import services.pause
from flashsale.messages.events import OrderEvent
from services import Effects, Later, OutcomeUnknown, Retry, Unavailable
from services.queues import work_queue
from tests.integration.services.bench import Bench, a_service, an_event, do


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.pause, "_FIRST_SECONDS", 0.2)
    monkeypatch.setattr(services.pause, "_LAST_SECONDS", 0.4)


class OtherSide:
    """What a handler depends on, away until it is told to be back."""

    def __init__(self, **unavailable: float) -> None:
        self.away = True
        self.tries: Counter[str] = Counter()
        self._unavailable = unavailable

    async def handle(self, event: OrderEvent, effects: Effects) -> None:
        self.tries[event.event_id] += 1
        if self.away:
            raise Unavailable("nobody answers", **self._unavailable)
        await do(event, effects)


@pytest.mark.usefixtures("short_pauses")
async def test_events_that_meet_an_absent_other_side_use_up_no_try(bench: Bench) -> None:
    other_side = OtherSide()
    service = a_service(other_side.handle, concurrency=4)
    events = [an_event() for _ in range(30)]
    started = time.monotonic()
    async with bench.running(service):
        await bench.publish(*events)
        await bench.until(lambda: _true(bench.counted("flashsale_service_paused") == 1))
        # Four that met it at first, and then one for each pause.
        await bench.until(lambda: _true(sum(other_side.tries.values()) >= 4 + 5))
        assert sum(other_side.tries.values()) <= 4 + (time.monotonic() - started) / 0.1
        other_side.away = False
        await bench.done(*events)
        await bench.until(lambda: _true(bench.counted("flashsale_service_paused") == 0))
    assert bench.counted("flashsale_service_retried_events_total") == 0
    assert bench.counted("flashsale_service_dead_events_total") == 0
    assert bench.counted("flashsale_service_repeated_events_total") == 0


async def test_a_paused_service_holds_no_events_and_stops_at_once(bench: Bench) -> None:
    other_side = OtherSide(retry_after=60)
    service = a_service(other_side.handle, concurrency=4)
    events = [an_event() for _ in range(10)]
    async with bench.running(service):
        await bench.publish(*events)

        async def all_are_back() -> bool:
            depth = await bench.stack.broker.depth(work_queue(bench.prefix, service))
            return (depth.ready, depth.consumers) == (10, 0)

        await bench.until(all_are_back)
        assert sum(other_side.tries.values()) <= 4, "it asked for a minute of peace"
        stopping_at = time.monotonic()
    assert time.monotonic() - stopping_at < 2
    other_side.away = False
    async with bench.running(service):
        await bench.done(*events)


@pytest.mark.usefixtures("short_pauses")
async def test_one_event_that_finds_the_other_side_away_stops_no_other(bench: Bench) -> None:
    """Its handler blames the other side, but the fault may be its own."""
    odd, others = an_event(), [an_event() for _ in range(20)]
    blaming = True

    async def blame(event: OrderEvent, effects: Effects) -> None:
        if blaming and event.event_id == odd.event_id:
            raise Unavailable("nobody answers")
        await do(event, effects)

    async with bench.running(a_service(blame)):
        await bench.publish(odd, *others)
        await bench.done(*others)
        blaming = False
        await bench.done(odd, *others)
    assert bench.counted("flashsale_service_retried_events_total") == 0


async def test_an_event_for_later_waits_aside_without_a_pause(bench: Bench) -> None:
    later, others = an_event(), [an_event() for _ in range(20)]
    tries = 0

    async def wait(event: OrderEvent, effects: Effects) -> None:
        nonlocal tries
        if event.event_id == later.event_id:
            tries += 1
            if tries <= 5:  # more often than an event may fail
                raise Later("not now")
        await do(event, effects)

    async with bench.running(a_service(wait)):
        await bench.publish(later, *others)
        await bench.done(later, *others)
    assert tries == 6
    assert bench.counted("flashsale_service_retried_events_total") == 0


@pytest.mark.usefixtures("short_pauses")
async def test_an_unknown_outcome_is_a_counted_try(bench: Bench) -> None:
    event = an_event()
    tries = 0

    async def lose(event: OrderEvent, effects: Effects) -> None:
        nonlocal tries
        tries += 1
        raise OutcomeUnknown("the connection broke")

    service = a_service(lose, retry=Retry((0.05, 0.1), retries=1))
    async with bench.running(service):
        await bench.publish(event)
        [letter] = await bench.dead(service, 1)
    assert tries == 2
    assert letter.headers["attempts"] == 2


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("error", [Later, Unavailable])
async def test_an_event_waits_for_no_longer_than_its_patience(
    bench: Bench, error: type[Later | Unavailable]
) -> None:
    async def refuse(event: OrderEvent, effects: Effects) -> None:
        raise error("not today")

    service = a_service(refuse, patience_seconds=1.0)
    old, young = an_event(decided_at=1.0), an_event(decided_at=time.time())
    async with bench.running(service):
        await bench.publish(old)
        [letter] = await bench.dead(service, 1)
        assert letter.headers["reason"] == "waited too long: not today"
        await bench.publish(young)
        await bench.dead(service, 2)
    assert time.time() - young.decided_at > 1


@pytest.mark.usefixtures("short_pauses")
async def test_events_without_a_retry_queue_wait_for_the_other_side_all_the_same(
    bench: Bench,
) -> None:
    other_side = OtherSide()
    events = [an_event() for _ in range(5)]
    async with bench.running(a_service(other_side.handle, retry=Retry(()))):
        await bench.publish(*events)
        await bench.until(lambda: _true(sum(other_side.tries.values()) >= 8))
        other_side.away = False
        await bench.done(*events)


async def _true(fact: bool) -> bool:
    return fact
