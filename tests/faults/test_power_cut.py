"""What was acknowledged before a power cut is there after it, where we say so."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import asyncpg
import pytest

from flashsale.broker import BrokerError, QueueType, RabbitMQ, sale_topology
from flashsale.domain.sales import Sale
from flashsale.ledger import LedgerError, open_ledger
from loadtest.servers import PostgresServer, RabbitNode, Server, ServerNotFound, postgres, rabbitmq
from tests.conftest import an_order, unique
from tests.faults.image_disk import (
    ImageDisk,
    NoImageDisk,
    cut_power,
    image_disk,
    temporary_files_in,
)
from tests.faults.scenario import EACH_SEED

Load = Callable[[set[str]], Awaitable[None]]
"""Writes until it is cancelled or the server is gone, and adds what was acknowledged."""

_IN_FLIGHT = 128
_CONNECTIONS = 8
_ORDERS_A_BATCH = 50
_ENOUGH = 1000
_READ_SECONDS = 5.0

pytestmark = pytest.mark.parametrize("seed", EACH_SEED)


@pytest.fixture
def disk() -> Iterator[ImageDisk]:
    try:
        with image_disk() as mounted, temporary_files_in(mounted.files):
            yield mounted
    except NoImageDisk as error:
        pytest.skip(str(error))


@pytest.fixture
def node_on_disk(disk: ImageDisk) -> Iterator[RabbitNode]:
    try:
        with rabbitmq() as node:
            yield node
    except ServerNotFound as error:
        pytest.skip(str(error))


@pytest.fixture
def database_on_disk(disk: ImageDisk) -> Iterator[PostgresServer]:
    try:
        # By default what it has not synced is synced after 0.6 s at the latest
        # (https://www.postgresql.org/docs/current/wal-async-commit.html).
        with postgres(wal_writer_delay="10s") as database:
            yield database
    except ServerNotFound as error:
        pytest.skip(str(error))


async def acknowledged_before_cut(server: Server, load: Load, seed: int) -> set[str]:
    """Cut the power of a server at a random moment under that load; what it had acknowledged."""
    acknowledged: set[str] = set()
    dice = random.Random(seed)
    ImageDisk.under(server.folder).sync()  # tables and queues are not what this is about
    loading = asyncio.ensure_future(load(acknowledged))
    while len(acknowledged) < _ENOUGH:
        assert not loading.done(), loading
        await asyncio.sleep(0.01)
    await asyncio.sleep(dice.uniform(0.0, 1.0))
    await asyncio.to_thread(cut_power, server)
    loading.cancel()
    with suppress(asyncio.CancelledError):
        await loading
    return acknowledged


@pytest.mark.parametrize(("queue_type", "loses"), [("classic", True), ("quorum", False)])
async def test_of_confirmed_messages_only_a_classic_queue_loses_some(
    node_on_disk: RabbitNode,
    queue_type: QueueType,
    loses: bool,
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    topology = sale_topology("", 1_000_000, queue_type)

    async def publish(confirmed: set[str]) -> None:
        async def one_after_the_other() -> None:
            with suppress(BrokerError):
                while True:
                    message = unique("m")
                    await broker.publish(topology.orders, "order", b"-" * 100, message_id=message)
                    confirmed.add(message)

        await asyncio.gather(*(one_after_the_other() for _ in range(_IN_FLIGHT)))

    async with RabbitMQ(node_on_disk.url, topology) as broker:
        confirmed = await acknowledged_before_cut(node_on_disk, publish, seed)
    async with RabbitMQ(node_on_disk.url, topology) as broker:
        lost = confirmed - await messages_in(broker, topology.orders)
    record_property("power cut", (f"RabbitMQ, {queue_type} queue", seed, len(confirmed), len(lost)))
    assert bool(lost) == loses, f"{len(lost)} of {len(confirmed)}"


async def messages_in(broker: RabbitMQ, queue: str) -> set[str]:
    """The ids of all messages of a queue, which nobody publishes to."""
    found: set[str] = set()
    async with broker.consume(queue, 10_000) as deliveries:
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(_READ_SECONDS):
                    await deliveries.wait()
                taken = deliveries.take(10_000)
                found |= {delivery.message_id for delivery in taken}
                deliveries.ack_through(taken[-1])
    return found


@pytest.fixture
async def careless_url(database_on_disk: PostgresServer) -> str:
    """A database with a table `written`, whose owner chose `synchronous_commit = off`."""
    database_on_disk.run_sql("CREATE TABLE public.written (id text)", "flashsale")
    database_on_disk.run_sql("ALTER DATABASE flashsale SET synchronous_commit = off")
    return database_on_disk.url()


async def test_of_commits_by_any_session_synchronous_commit_off_loses_some(
    database_on_disk: PostgresServer,
    careless_url: str,
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    dsn = database_on_disk.dsn()

    async def insert(committed: set[str]) -> None:
        async def one_after_the_other() -> None:
            session = await asyncpg.connect(dsn)
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                while True:
                    row = unique("r")
                    await session.execute("INSERT INTO public.written VALUES ($1)", row)
                    committed.add(row)

        await asyncio.gather(*(one_after_the_other() for _ in range(_CONNECTIONS)))

    committed = await acknowledged_before_cut(database_on_disk, insert, seed)
    session = await asyncpg.connect(dsn)
    lost = committed - {row["id"] for row in await session.fetch("SELECT id FROM public.written")}
    await session.close()
    record_property(
        "power cut",
        ("PostgreSQL, synchronous_commit = off, any session", seed, len(committed), len(lost)),
    )
    assert lost, f"of {len(committed)}"


async def test_of_the_decisions_of_the_ledger_synchronous_commit_off_loses_none(
    database_on_disk: PostgresServer,
    careless_url: str,
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    async def sell(decided: set[str]) -> None:
        with suppress(LedgerError):
            async with ledger.hold_drain("sale") as lease:
                sink = lease.open_sink()
                while True:
                    orders = [an_order() for _ in range(_ORDERS_A_BATCH)]
                    await sink.sell(orders, 1_800_000_000.0)
                    decided |= {order.id for order in orders}

    async with open_ledger(careless_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 1_000_000))
        decided = await acknowledged_before_cut(database_on_disk, sell, seed)
    async with open_ledger(careless_url) as ledger:
        lost = decided - set(await ledger.outcomes("tv"))
    record_property(
        "power cut",
        ("PostgreSQL, synchronous_commit = off, the ledger", seed, len(decided), len(lost)),
    )
    assert not lost, f"{len(lost)} of {len(decided)}"
