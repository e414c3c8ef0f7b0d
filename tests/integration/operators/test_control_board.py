"""The controls in the database: who changes them, who follows them, and what is written down."""

import asyncio
import time

import pytest

from flashsale.domain.audit_entries import Author
from flashsale.domain.controls import Controls, DrainChange
from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.sales import Sale
from flashsale.ledger import ChangedMeanwhile, ControlsChanged, Ledger, open_ledger
from tests.conftest import an_order

ANN = Author("ann", "slow disk", "request-1")
NAME = "sale"


async def change(ledger: Ledger, version: int | None = None, **changes: object) -> Controls:
    wanted = DrainChange(**changes)  # type: ignore[arg-type]
    return await ledger.controls.change(NAME, "drain.change", wanted.apply, ANN, version)


async def test_nothing_is_set_before_the_first_change(ledger: Ledger) -> None:
    assert await ledger.controls.read(NAME) == Controls()
    assert await ledger.audit_log.entries(10) == []


async def test_a_change_is_read_and_audited(ledger: Ledger) -> None:
    before = time.time()
    changed = await change(ledger, rate=500)
    assert changed == await ledger.controls.read(NAME)
    assert (changed.version, changed.rate) == (1, 500)
    [entry] = await ledger.audit_log.entries(10)
    assert (entry.who, entry.reason, entry.request_id) == ("ann", "slow disk", "request-1")
    assert (entry.action, entry.target) == ("drain.change", NAME)
    assert entry.before is not None
    assert entry.after is not None
    assert (entry.before["rate"], entry.after["rate"]) == (None, 500)
    assert abs(entry.at - before) < 60


async def test_a_refused_change_leaves_nothing_behind(ledger: Ledger) -> None:
    with pytest.raises(ChangeRefused):
        await change(ledger, rate=0)
    assert await ledger.controls.read(NAME) == Controls()
    assert await ledger.audit_log.entries(10) == []


async def test_of_many_operators_who_saw_one_version_one_changes_it(ledger: Ledger) -> None:
    tries = [change(ledger, 0, rate=100 + n) for n in range(5)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, Controls) for one in done) == 1
    assert sum(isinstance(one, ChangedMeanwhile) for one in done) == 4
    assert len(await ledger.audit_log.entries(10)) == 1


async def test_drains_have_controls_of_their_own(ledger: Ledger) -> None:
    await change(ledger, paused=True)
    assert await ledger.controls.read("another") == Controls()


async def test_the_batch_after_a_change_is_not_sold_under_the_old_controls(
    ledger: Ledger,
) -> None:
    await ledger.create_sale(Sale("tv", 5))
    async with ledger.hold_drain(NAME) as lease:
        await lease.touch()
        sink = lease.open_sink()
        await sink.sell([an_order()], time.time())
        await change(ledger, rate=500)
        order = an_order()
        with pytest.raises(ControlsChanged):
            await sink.sell([order], time.time())
        assert lease.controls.rate == 500
        [sale] = await ledger.sales()
        assert sale.sold == 1
        await sink.sell([order], time.time())
        # Another version with the same pause and rate is no reason to begin again.
        await change(ledger, rate=500)
        await sink.sell([an_order()], time.time())
        assert lease.controls.version == 2


async def test_a_change_ends_while_the_drain_works_and_the_audit_says_so_once(
    ledger: Ledger,
) -> None:
    await ledger.create_sale(Sale("tv", 5))
    async with ledger.hold_drain(NAME) as lease:
        await lease.touch()
        await change(ledger, paused=True, for_seconds=1.5)
        await lease.touch()
        assert lease.controls.paused
        async with asyncio.timeout(60):
            while lease.controls.paused:
                await asyncio.sleep(0.02)
                await lease.touch()
        await lease.touch()
    entries = await ledger.audit_log.entries(10)
    assert [(e.who, e.action) for e in entries] == [
        ("automatic", "drain.end"),
        ("ann", "drain.change"),
        ("program", "sale.create"),
    ]
    assert (await ledger.controls.read(NAME)).version == 2


async def test_an_end_without_a_drain_is_seen_at_once_and_written_by_the_next_change(
    ledger: Ledger,
) -> None:
    await change(ledger, paused=True, for_seconds=0.05)
    async with asyncio.timeout(60):
        while (await ledger.controls.read(NAME)).paused:
            await asyncio.sleep(0.01)
    await change(ledger, rate=9)
    actions = [entry.action for entry in await ledger.audit_log.entries(10)]
    assert actions == ["drain.change", "drain.end", "drain.change"]


async def test_the_drain_goes_on_while_somebody_has_the_row_locked(postgres_url: str) -> None:
    async with open_ledger(postgres_url) as ledger, open_ledger(postgres_url) as other:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 5))
        await change(ledger, paused=True, for_seconds=0.05)
        is_locked, may_end = asyncio.Event(), asyncio.Event()
        async with ledger.hold_drain(NAME) as lease:
            locked = asyncio.create_task(_lock_row(postgres_url, is_locked, may_end))
            await is_locked.wait()
            async with asyncio.timeout(60):
                await lease.touch()
                while lease.controls.paused:
                    await lease.touch()
                await lease.open_sink().sell([an_order()], time.time())
            may_end.set()
            await locked
            assert (await other.controls.read(NAME)).version == 1
            await lease.touch()
            assert (await other.controls.read(NAME)).version == 2


async def _lock_row(url: str, locked: asyncio.Event, may_end: asyncio.Event) -> None:
    import asyncpg

    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        async with connection.transaction():
            await connection.execute("SELECT * FROM flashsale.drain_controls FOR UPDATE")
            locked.set()
            await may_end.wait()
    finally:
        await connection.close()


async def test_a_change_commits_between_two_batches(postgres_url: str) -> None:
    # So that "from the change on" means the same by the commit timestamps.
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 5))
        async with ledger.hold_drain(NAME) as lease:
            await lease.touch()
            async with lease.transaction():  # type: ignore[attr-defined]
                changing = asyncio.create_task(change(ledger, rate=7))
                done, _ = await asyncio.wait((changing,), timeout=0.3)
                assert not done
            assert (await changing).rate == 7


async def test_a_drain_that_is_frozen_in_a_batch_does_not_keep_an_operator_waiting(
    postgres_url: str,
) -> None:
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        async with ledger.hold_drain(NAME) as lease:
            await lease.touch()
            async with lease.transaction():  # type: ignore[attr-defined]
                async with asyncio.timeout(60):
                    assert (await change(ledger, paused=True)).paused


async def test_an_operator_who_waits_for_another_does_not_hold_up_the_drain(
    postgres_url: str,
) -> None:
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 5))
        await change(ledger, rate=5)
        is_locked, may_end = asyncio.Event(), asyncio.Event()
        async with ledger.hold_drain(NAME) as lease:
            await lease.touch()
            locked = asyncio.create_task(_lock_row(postgres_url, is_locked, may_end))
            await is_locked.wait()
            changing = asyncio.create_task(change(ledger, rate=7))
            await _until_waits(postgres_url)
            async with asyncio.timeout(60):
                await lease.open_sink().sell([an_order()], time.time())
            assert not changing.done()
            may_end.set()
            await locked
            assert (await changing).rate == 7


async def _until_waits(url: str) -> None:
    """Wait until a session waits for a lock."""
    import asyncpg

    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        async with asyncio.timeout(60):
            while not await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0.02)
    finally:
        await connection.close()
