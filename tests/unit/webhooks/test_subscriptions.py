"""The subscriptions are read for many events at once, and are never older than an event."""

import asyncio
from collections.abc import Sequence

import pytest

from flashsale.ledger import LedgerUnavailable, Subscription
from services.builtin.webhook import subscriptions
from services.builtin.webhook.subscriptions import Subscriptions


class Table:
    """Counts its reads; each takes until `go` is set."""

    def __init__(self) -> None:
        self.reads = 0
        self.known: Sequence[Subscription] = ()
        self.go = asyncio.Event()
        self.go.set()

    async def read(self) -> Sequence[Subscription]:
        self.reads += 1
        known = self.known
        await self.go.wait()
        return known


async def test_events_of_the_same_moment_share_a_read() -> None:
    table = Table()
    reader = Subscriptions(table.read)
    await asyncio.gather(*(reader.current() for _ in range(1_000)))
    assert table.reads == 1


async def test_an_event_that_comes_during_a_read_waits_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriptions, "_PAUSE_SECONDS", 0.01)
    table = Table()
    table.go.clear()
    reader = Subscriptions(table.read)
    first = asyncio.create_task(reader.current())
    while not table.reads:
        await asyncio.sleep(0)
    table.known = (Subscription("e", ("*",)),)
    later = asyncio.create_task(reader.current())
    await asyncio.sleep(0)
    table.go.set()
    assert await first == ()
    assert await later == table.known
    assert table.reads == 2


async def test_reads_begin_at_most_ten_times_a_second() -> None:
    table = Table()
    reader = Subscriptions(table.read)
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(3):
        await reader.current()
    assert loop.time() - started >= 0.19
    assert table.reads == 3


async def test_one_caller_that_is_cancelled_leaves_the_read_to_the_others() -> None:
    table = Table()
    table.go.clear()
    reader = Subscriptions(table.read)
    gone, other = asyncio.create_task(reader.current()), asyncio.create_task(reader.current())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait((gone,))
    table.go.set()
    assert await other == ()


async def test_a_read_that_fails_fails_its_callers_and_not_the_next_ones() -> None:
    async def fail() -> Sequence[Subscription]:
        raise LedgerUnavailable("away")

    reader = Subscriptions(fail)
    with pytest.raises(LedgerUnavailable):
        await reader.current()
    with pytest.raises(LedgerUnavailable):
        await reader.current()
