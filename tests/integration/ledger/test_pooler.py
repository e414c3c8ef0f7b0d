"""The ledger behind PgBouncer: one drain at a time, and nothing that needs a session of its own."""

import asyncio
import math
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from flashsale.broker import RabbitMQ, sale_topology
from flashsale.domain.order_ids import random_order_id
from flashsale.domain.sales import Sale
from flashsale.ledger import Effects, Ledger, LedgerUnavailable, open_ledger
from flashsale.ledger.sql import drain_lease
from flashsale.ledger.sql.drain_lease import SqlDrainLease
from flashsale.messages.orders import encode_order
from loadtest.servers import PgBouncer, PoolMode, PostgresServer, pgbouncer
from services.builtin.loyalty import loyalty
from tests.conftest import an_order, unique
from tests.database import execute, rows
from tests.integration.cli.test_cli import flashsale, one_line
from tests.processes import process

NOW = 1_800_000_000.0
RATE = 100

Pooled = Callable[[PoolMode], str]


@pytest.fixture(scope="module")
def poolers(postgres_server: PostgresServer) -> Iterator[Callable[[PoolMode], PgBouncer]]:
    with ExitStack() as started:
        running: dict[PoolMode, PgBouncer] = {}

        def pooler(mode: PoolMode) -> PgBouncer:
            if mode not in running:
                running[mode] = started.enter_context(pgbouncer(postgres_server.url(), mode))
            return running[mode]

        yield pooler


@pytest.fixture
def direct_url(postgres_server: PostgresServer) -> str:
    return postgres_server.create_database(unique("pooled"))


@pytest.fixture
def pooled_url(poolers: Callable[[PoolMode], PgBouncer], direct_url: str) -> Pooled:
    return lambda mode: poolers(mode).url(direct_url)


@pytest.fixture(params=["session", "transaction"])
async def pooled(request: pytest.FixtureRequest, pooled_url: Pooled) -> AsyncIterator[Ledger]:
    async with open_ledger(pooled_url(request.param)) as ledger:
        await ledger.migrate()
        await ledger.verify_schema()
        await ledger.create_sale(Sale("tv", 1_000, customer_limit=1))
        yield ledger


async def test_the_ledger_works_through_a_pooler(pooled: Ledger) -> None:
    assert loyalty.tables is not None
    await pooled.effects.create_tables(loyalty.tables)

    async def sell_some() -> None:
        async with pooled.hold_drain(unique("sale")) as lease:
            sink = lease.open_sink()
            for _ in range(10):
                await sink.sell([an_order(), an_order()], NOW)
                await pooled.find([random_order_id()])
                await pooled.sales()

    # Together, so that the pooler gives each transaction any of its sessions.
    async with asyncio.TaskGroup() as selling:
        for _ in range(4):
            selling.create_task(sell_some())
    sent: list[str] = []

    async def send(unsent: object) -> list[str]:
        sent[:] = [each.event.event_id for each in unsent]  # type: ignore[attr-defined]
        return sent

    await pooled.outbox.relay(1_000, math.inf, send)
    assert len(sent) == 80
    for event_id in sent[:3] * 2:
        effects = Effects(event_id, event_id)
        effects.run("INSERT INTO loyalty VALUES (:customer, 10)", customer=event_id)
        await pooled.effects.take_effect("loyalty", [effects])
    assert await pooled.effects.done("loyalty", sent) == set(sent[:3])
    assert (await pooled.audit()).wrong == ()


async def test_no_prepared_statement_stays_in_the_sessions_of_a_pooler(pooled_url: Pooled) -> None:
    async with open_ledger(pooled_url("transaction")) as ledger:
        await ledger.migrate()
        async with ledger.hold_drain("sale") as lease:
            assert isinstance(lease, SqlDrainLease)
            await lease.open_sink().sell([an_order()], NOW)
            async with lease.transaction() as connection:
                left = await connection.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
                settings = await connection.execute(
                    text("SELECT name, setting FROM pg_settings WHERE source = 'session'")
                )
                found = {row.name: row.setting for row in settings}
        assert left == 0
        assert found["jit_above_cost"] == "-1"
        assert found["idle_in_transaction_session_timeout"] == "10000"
    # Other clients of the pooler get these sessions as they were.
    other = await asyncpg.connect(
        pooled_url("transaction").replace("+asyncpg", ""), statement_cache_size=0
    )
    for name in ("jit", "enable_seqscan"):
        assert await other.fetchval(f"SHOW {name}") == "on"
    await other.close()


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_one_drain_at_a_time_behind_a_pooler(pooled_url: Pooled, mode: PoolMode) -> None:
    url = pooled_url(mode)
    async with open_ledger(url) as ledger, open_ledger(url) as other:
        await ledger.migrate()
        async with ledger.hold_drain("sale") as lease:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1), other.hold_drain("sale"):
                    pass
            await lease.touch()
        async with asyncio.timeout(2), other.hold_drain("sale"):  # given back at once
            pass


async def test_who_lost_the_lease_behind_a_pooler_can_write_nothing(
    pooled_url: Pooled, direct_url: str
) -> None:
    async with open_ledger(pooled_url("transaction")) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 5))
        async with ledger.hold_drain("sale") as frozen:
            sink = frozen.open_sink()
            await sink.sell([an_order()], NOW)
            await execute(direct_url, "UPDATE drain_leases SET expires_at = expires_at - 20")
            async with asyncio.timeout(5), ledger.hold_drain("sale") as successor:
                with pytest.raises(LedgerUnavailable, match="the lease of this drain is lost"):
                    await sink.sell([an_order()], NOW)
                with pytest.raises(LedgerUnavailable, match="the lease of this drain is lost"):
                    await sink.fail(random_order_id(), "unreadable", NOW)
                with pytest.raises(LedgerUnavailable, match="the lease of this drain is lost"):
                    await frozen.touch()
                await successor.open_sink().sell([an_order()], NOW)
        [sale] = await ledger.sales()
        assert sale.sold == 2
        assert (await ledger.audit()).orders == 2


async def test_nobody_takes_over_in_the_middle_of_a_transaction(
    pooled_url: Pooled, direct_url: str
) -> None:
    async with open_ledger(pooled_url("transaction")) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 5))
        async with ledger.hold_drain("sale") as slow:
            assert isinstance(slow, SqlDrainLease)
            await execute(direct_url, "UPDATE drain_leases SET expires_at = 0")
            async with slow.transaction():
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1), ledger.hold_drain("sale"):
                        pass


async def test_a_holder_frozen_between_parse_and_bind_is_ended(
    pooled_url: Pooled, direct_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No timeout of PostgreSQL 15 does this."""
    monkeypatch.setattr(drain_lease, "_END_FROZEN", drain_lease._END_FROZEN.bindparams(seconds=0.5))
    async with open_ledger(pooled_url("session")) as ledger:
        await ledger.migrate()

        async def freeze(lease: SqlDrainLease) -> None:
            await execute(direct_url, "UPDATE drain_leases SET expires_at = 0")
            async with lease.transaction() as connection:
                raw: Any = (await connection.get_raw_connection()).driver_connection
                await raw.prepare("SELECT 1", name="")  # a Parse and a Flush
                [(state,)] = await rows(
                    direct_url,
                    "SELECT state FROM pg_stat_activity WHERE application_name ="
                    " 'flashsale drain' AND datname = current_database()",
                )
                assert state == "active"
                async with asyncio.timeout(5), ledger.hold_drain("sale"):
                    pass
                await connection.scalar(text("SELECT 1"))

        async with ledger.hold_drain("sale") as lease:
            assert isinstance(lease, SqlDrainLease)
            with pytest.raises(LedgerUnavailable):
                await freeze(lease)


async def test_a_clock_of_the_database_that_was_set_back_keeps_no_dead_lease(
    pooled_url: Pooled, direct_url: str
) -> None:
    async with open_ledger(pooled_url("transaction")) as ledger:
        await ledger.migrate()
        await execute(
            direct_url,
            "INSERT INTO drain_leases VALUES"
            " ('sale', 7, 'dead', NULL, NULL, extract(epoch FROM now()) + 3600)",
        )
        async with asyncio.timeout(5), ledger.hold_drain("sale"):
            pass


def test_statement_pooling_is_refused_in_one_line(pooled_url: Pooled, rabbit_url: str) -> None:
    for command in ("migrate", "consumer"):
        result = flashsale(
            command,
            database_url=pooled_url("statement"),
            broker_url=rabbit_url,
            gateway_port="0",
            metrics_port="0",
        )
        assert "set its pool_mode to transaction or session" in one_line(result)


async def _consumed(url: str) -> list[float]:
    found = await rows(url, "SELECT decided_at FROM orders ORDER BY decided_at")
    return [row.decided_at for row in found]


async def _until_decided(url: str, count: int, seconds: float) -> list[float]:
    deadline = time.monotonic() + seconds
    while len(decided := await _consumed(url)) < count:
        assert time.monotonic() < deadline, f"{len(decided)} of {count}"
        await asyncio.sleep(0.1)
    return decided


async def test_two_consumers_behind_transaction_pooling_keep_the_rate(
    pooled_url: Pooled, direct_url: str, rabbit_url: str, tmp_path: Path
) -> None:
    prefix = f"{unique('p')}."
    environment = {
        "FLASHSALE_BROKER_URL": rabbit_url,
        "FLASHSALE_BROKER_PREFIX": prefix,
        "FLASHSALE_DATABASE_URL": pooled_url("transaction"),
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_DRAIN_RATE": str(RATE),
        "FLASHSALE_SERVICES": "none",
    }
    async with open_ledger(direct_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 10_000))
    topology = sale_topology(prefix, 2000, "quorum")
    async with RabbitMQ(rabbit_url, topology) as broker:
        for _ in range(600):
            order = an_order()
            await broker.publish(topology.orders, "order", encode_order(order), message_id=order.id)
    with ExitStack() as running:
        first, second = (
            running.enter_context(process(["flashsale", "consumer"], tmp_path / name, environment))
            for name in ("first", "second")
        )
        await _until_decided(direct_url, 150, 20)
        active = first if "is active" in first.output else second
        active.signal(signal.SIGTERM)  # gives its lease back
        decided = await _until_decided(direct_url, 600, 20)
    assert "is active" in first.output
    assert "is active" in second.output
    in_one_second = max(
        sum(1 for other in decided[n:] if other < at + 1.0) for n, at in enumerate(decided)
    )
    assert in_one_second <= RATE
