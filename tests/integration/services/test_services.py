"""What a service promises, on both stacks: each event done once, whatever fails on the way."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flashsale.broker.dead_letters import drop, replay
from flashsale.messages.events import OrderEvent, encode_event
from flashsale.runtime.settings import SettingsError
from loadtest.servers import PostgresServer
from services import (
    Effects,
    GiveUp,
    Service,
    ServiceSettings,
)
from services.app import run_workers
from services.builtin.mail.service import mail
from tests.database import execute
from tests.integration.services.bench import DO, Bench, Handler, a_service, an_event, do, tables


async def test_an_event_reaches_the_services_with_its_topic(bench: Bench) -> None:
    confirmed, rejected = an_event(), an_event(status="rejected", reason="sold_out")
    heard: list[tuple[str, str]] = []

    def listening(name: str, *topics: str) -> Service[str]:
        async def handle(event_id: str, _: Effects) -> None:
            heard.append((name, event_id))

        return Service(name, topics, lambda event: event.event_id, handle)

    services = (
        listening("all", "order.#"),
        listening("sold", "order.confirmed.#"),
        listening("this", "order.*.tv.55"),
        listening("that", "order.confirmed.radio"),
    )
    async with bench.running(*services):
        await bench.publish(confirmed, rejected)
        await bench.until(lambda: _true(len(heard) >= 5))
        for service in services:
            await bench.empty(service)
    sold, not_sold = confirmed.event_id, rejected.event_id
    assert sorted(heard) == sorted(
        [("all", sold), ("all", not_sold), ("sold", sold), ("this", sold), ("this", not_sold)]
    )


async def test_services_work_in_parallel(bench: Bench) -> None:
    meeting = asyncio.Barrier(3)

    async def meet(event: OrderEvent, effects: Effects) -> None:
        await meeting.wait()  # nobody gets on before all three are here

    services = [a_service(meet, name, timeout_seconds=10) for name in ("mail", "points", "ranks")]
    async with bench.running(*services):
        event = an_event()
        await bench.publish(event)
        for service in services:
            await bench.until(lambda s=service: bench.has_done(s, event))  # type: ignore[misc]


async def _true(fact: bool) -> bool:
    return fact


async def test_a_handler_that_fails_twice_succeeds_on_the_third_try(bench: Bench) -> None:
    flaky, others = an_event(), [an_event() for _ in range(20)]
    tries: Counter[str] = Counter()
    order: list[str] = []

    async def fail_twice(event: OrderEvent, effects: Effects) -> None:
        tries[event.event_id] += 1
        if event.event_id == flaky.event_id and tries[event.event_id] < 3:
            raise RuntimeError("not today")
        await do(event, effects)
        order.append(event.event_id)

    async with bench.running(a_service(fail_twice)):
        await bench.publish(flaky, *others)
        await bench.done(flaky, *others)
    assert tries[flaky.event_id] == 3
    assert order[-1] == flaky.event_id, "nobody waited behind it"
    assert bench.counted("flashsale_service_retried_events_total") == 2
    assert bench.counted("flashsale_service_handled_events_total") == 21


async def test_a_poison_event_dies_alone_and_is_done_once_after_a_replay(
    bench: Bench,
) -> None:
    poison, others = an_event(), [an_event() for _ in range(20)]
    mended = False

    async def choke(event: OrderEvent, effects: Effects) -> None:
        await do(event, effects)
        if event.event_id == poison.event_id and not mended:
            raise ValueError("I can't")

    service = a_service(choke)
    async with bench.running(service):
        await bench.publish(*others[:10], poison, *others[10:])
        await bench.done(*others)
        [letter] = await bench.dead(service, 1)
        assert letter.message_id == poison.event_id
        assert letter.body == encode_event(poison)
        assert letter.headers["reason"] == "ValueError: I can't"
        assert letter.headers["attempts"] == 3
        assert isinstance(letter.headers["died_at"], int)

        dead = bench.dead_queue(service)
        assert len((await replay(bench.stack.broker, dead, {"another"})).ids) == 0
        assert len((await replay(bench.stack.broker, dead, None)).ids) == 1
        [letter] = await bench.dead(service, 1)
        assert letter.headers["attempts"] == 3, "it had all its tries once more"

        mended = True
        assert len((await replay(bench.stack.broker, dead, {poison.event_id})).ids) == 1
        await bench.done(poison, *others)
        await bench.dead(service, 0)
        # As if the replay had died between publish and removal, and was repeated.
        await bench.publish(poison)
        await bench.until(
            lambda: _true(bench.counted("flashsale_service_repeated_events_total") == 1)
        )
        await bench.done(poison, *others)


async def test_dead_events_can_be_dropped(bench: Bench) -> None:
    async def refuse(event: OrderEvent, effects: Effects) -> None:
        raise GiveUp("no such customer")

    service = a_service(refuse)
    events = [an_event() for _ in range(3)]
    async with bench.running(service):
        await bench.publish(*events)
        letters = await bench.dead(service, 3)
        assert {letter.headers["reason"] for letter in letters} == {"no such customer"}
        assert {letter.headers["attempts"] for letter in letters} == {1}, "no second try"
        dead = bench.dead_queue(service)
        assert len((await drop(bench.stack.broker, dead, {events[1].event_id})).ids) == 1
        left = await bench.dead(service, 2)
        assert {e.message_id for e in left} == {events[0].event_id, events[2].event_id}
        assert len((await drop(bench.stack.broker, dead, None)).ids) == 2
        await bench.dead(service, 0)


async def test_a_message_that_is_no_event_is_dead_at_once(bench: Bench) -> None:
    service = a_service()
    good = an_event()
    async with bench.running(service):
        for body in (b"{}", b"\xff", encode_event(good).replace(b"confirmed", b"perhaps")):
            await bench.stack.broker.publish(
                bench.stack.topology.events, "order.confirmed.tv", body, message_id="x"
            )
        await bench.publish(good)
        await bench.done(good)
        letters = await bench.dead(service, 3)
    assert all("not an event" in str(letter.headers["reason"]) for letter in letters)


async def test_copies_of_an_event_take_effect_once(bench: Bench) -> None:
    events = [an_event() for _ in range(50)]
    runs: Counter[str] = Counter()

    async def slowly(event: OrderEvent, effects: Effects) -> None:
        runs[event.event_id] += 1
        await asyncio.sleep(0.05)
        await do(event, effects)

    service = a_service(slowly)
    async with bench.running(service):
        await bench.publish(*events, *events)
        await bench.done(*events)
        await bench.publish(*events)
        await bench.until(
            lambda: _true(bench.counted("flashsale_service_repeated_events_total") == 100)
        )
        await bench.done(*events)
        await bench.empty(service)
    assert set(runs.values()) == {1}, "not even the handler ran again"


async def test_a_refused_effect_fails_no_other_event(bench: Bench) -> None:
    bad, others = an_event(), [an_event() for _ in range(20)]

    async def write(event: OrderEvent, effects: Effects) -> None:
        times = None if event.event_id == bad.event_id else 1
        effects.run(DO, event_id=event.event_id, times=times)

    service = a_service(write)
    async with bench.running(service):
        await bench.publish(*others[:10], bad, *others[10:])
        await bench.done(*others)
        [letter] = await bench.dead(service, 1)
        assert letter.message_id == bad.event_id
        assert "LedgerRefused" in str(letter.headers["reason"])
        assert await bench.stack.ledger.effects.done("probe", [bad.event_id]) == set()


async def test_a_handler_timeout_is_one_failed_attempt(bench: Bench) -> None:
    event = an_event()
    tries = 0

    async def hang_once(event: OrderEvent, effects: Effects) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            await asyncio.Event().wait()
        await do(event, effects)

    async with bench.running(a_service(hang_once, timeout_seconds=0.2)):
        await bench.publish(event)
        await bench.done(event)
    assert tries == 2


async def test_a_worker_finishes_the_events_in_hand_before_it_ends(bench: Bench) -> None:
    begun = asyncio.Event()
    go_on = asyncio.Event()

    async def slowly(event: OrderEvent, effects: Effects) -> None:
        begun.set()
        await go_on.wait()
        await do(event, effects)

    event = an_event()
    async with bench.running(a_service(slowly)):
        await bench.publish(event)
        await begun.wait()
        asyncio.get_running_loop().call_later(0.2, go_on.set)
    await bench.done(event)


async def test_a_lost_session_does_not_repeat_a_handler(
    bench: Bench, request: pytest.FixtureRequest
) -> None:
    """The database goes away between the handler and the record of it, and comes back."""
    if bench.settings.embedded:
        pytest.skip("SQLite has no session to lose")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    events = [an_event() for _ in range(30)]
    runs: Counter[str] = Counter()

    async def send(event: OrderEvent, effects: Effects) -> None:
        runs[event.event_id] += 1
        await do(event, effects)

    async with bench.running(a_service(send)):
        publishing = asyncio.create_task(bench.publish(*events))
        for _ in range(10):
            await _terminate_sessions(server, bench.settings.database_url)
        await publishing
        await bench.done(*events)
    assert set(runs.values()) == {1}


async def _terminate_sessions(server: PostgresServer, url: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()


async def test_a_service_needs_either_handle_or_opened() -> None:
    with pytest.raises(ValueError, match="either handle, opened or opened_with"):
        Service("nothing", ("order.#",), lambda event: event)


async def test_a_service_is_opened_with_its_own_settings(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ProbeSettings(ServiceSettings):
        probe_times: int = 1

    @asynccontextmanager
    async def opened(settings: ProbeSettings) -> AsyncIterator[Handler]:
        async def handle(event: OrderEvent, effects: Effects) -> None:
            effects.run(DO, event_id=event.event_id, times=settings.probe_times)

        yield handle

    monkeypatch.setenv("FLASHSALE_PROBE_TIMES", "3")
    service = a_service(None, opened=opened, settings=ProbeSettings)
    event = an_event()
    async with bench.running(service):
        await bench.publish(event)
        await bench.until(lambda: bench.has_done(service, event))
    assert await bench.times() == {event.event_id: 3}


async def test_a_wrong_setting_of_a_service_stops_it_by_its_name(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASHSALE_MAIL_LATENCY_MS", "slow")
    with pytest.raises(SettingsError, match=r"FLASHSALE_MAIL_LATENCY_MS=slow: .*valid integer"):
        await run_workers(bench.settings, bench.stack, [mail], bench.metrics, asyncio.Event())


async def test_concurrent_effects_of_one_event_are_written_once(bench: Bench) -> None:
    book = bench.stack.ledger.effects
    await book.create_tables(tables)
    events = [an_event() for _ in range(200)]

    def wanted() -> list[Effects]:
        found = []
        for event in events:
            effects = Effects(event.event_id, event.order_id)
            effects.run(DO, event_id=event.event_id, times=1)
            found.append(effects)
        return found

    counts = await asyncio.gather(*(book.take_effect("probe", wanted()) for _ in range(4)))
    assert sum(counts) == len(events)
    await bench.done(*events)
    # Another service does the same events for itself.
    await execute(bench.settings.database_url, "DELETE FROM done_by_tests")
    assert await book.take_effect("another", wanted()) == len(events)
