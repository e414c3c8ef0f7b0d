"""One drain at a time on PostgreSQL, and no power without the lock."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import text

from flashsale.domain.sales import Sale
from flashsale.ledger import LEASE_SECONDS, DrainLease, Leases, LedgerUnavailable, open_ledger
from flashsale.ledger.sql.drain_lease import SqlDrainLease
from tests.conftest import an_order

NOW = 1_800_000_000.0


async def held(
    ledger: Leases[DrainLease], name: str, got: asyncio.Event, release: asyncio.Event
) -> None:
    async with ledger.hold_drain(name):
        got.set()
        await release.wait()


async def terminate_drains(url: str) -> int:
    """Do what a database does to a session that it gives up."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    ended = await connection.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'flashsale drain' AND datname = current_database()"
    )
    await connection.close()
    return int(ended)


async def test_a_standby_drain_waits_until_the_active_one_is_gone(postgres_url: str) -> None:
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        first, second, release = asyncio.Event(), asyncio.Event(), asyncio.Event()
        active = asyncio.create_task(held(ledger, "sale", first, release))
        await first.wait()
        standby = asyncio.create_task(held(ledger, "sale", second, release))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await second.wait()
        async with asyncio.timeout(5):
            async with ledger.hold_drain("another sale"):
                pass
        active.cancel()
        async with asyncio.timeout(5):
            await second.wait()
        release.set()
        await standby


async def test_a_drain_that_lost_its_session_can_not_write(postgres_url: str) -> None:
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 5))
        async with ledger.hold_drain("sale") as zombie:
            sink = zombie.open_sink()
            assert await terminate_drains(postgres_url) == 1
            async with asyncio.timeout(5):
                async with ledger.hold_drain("sale") as successor:
                    await successor.open_sink().sell([an_order()], NOW)
                    with pytest.raises(LedgerUnavailable):
                        await sink.sell([an_order()], NOW)
                    with pytest.raises(LedgerUnavailable):
                        await zombie.touch()
        [sale] = await ledger.sales()
        assert sale.sold == 1


async def test_a_drain_without_the_lease_does_not_change_the_rate_that_is_kept(
    postgres_url: str,
) -> None:
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 5))
        async with ledger.hold_drain("sale") as zombie:
            zombie.kept_rate = 100.0
            await zombie.touch()
            assert await terminate_drains(postgres_url) == 1
            async with asyncio.timeout(5):
                async with ledger.hold_drain("sale") as successor:
                    assert successor.kept_rate == 100.0
                    successor.kept_rate = 120.0
                    await successor.touch()
            zombie.kept_rate = 10.0
            with pytest.raises(LedgerUnavailable):
                await zombie.touch()
        async with ledger.hold_drain("sale") as last:
            assert last.kept_rate == 120.0


async def test_the_session_of_the_drain_lease_has_its_timeouts(postgres_url: str) -> None:
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        async with ledger.hold_drain("sale") as lease:
            assert isinstance(lease, SqlDrainLease)
            for name in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
                async with lease.transaction() as connection:
                    assert await connection.scalar(text(f"SHOW {name}")) == f"{LEASE_SECONDS}s"
            await lease.touch()
