"""Builders, and the real servers that integration tests share."""

import itertools
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from flashsale.broker import Topology, sale_topology
from flashsale.domain.order_ids import random_order_id
from flashsale.domain.orders import Order
from flashsale.ledger import DrainLease, Leases, Ledger, Sink, open_ledger
from loadtest import watchdog
from loadtest.servers import (
    Installation,
    PostgresServer,
    RabbitNode,
    ServerNotFound,
    postgres,
    rabbitmq,
)

_numbers = itertools.count(1)
_HERE = Path(__file__).parent
_SLOW_FIRST = ("faults", "integration", "contract", "browser")
"""The folders of tests that take long, the slowest first."""

# How fast a machine is proves nothing.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
# `make fuzz` asks for it, by `--hypothesis-profile`.
hypothesis.settings.register_profile(
    "fuzz", hypothesis.settings.get_profile("any machine"), max_examples=1_000
)
hypothesis.settings.load_profile("any machine")


def unique(name: str) -> str:
    """A name that no other test uses."""
    return f"{name}-{os.getpid()}-{next(_numbers)}"


def an_order(**changes: Any) -> Order:
    """An order of one tv by a customer of its own."""
    fields: dict[str, Any] = {
        "id": random_order_id(),
        "sku": "tv",
        "customer_id": unique("c"),
        "quantity": 1,
        "accepted_at": time.time(),
    }
    return Order(**(fields | changes))


@asynccontextmanager
async def draining(ledger: Leases[DrainLease]) -> AsyncIterator[Sink]:
    """The sink of the only drain of a sale."""
    async with ledger.hold_drain("sale") as lease:
        yield lease.open_sink()


def pytest_configure(config: pytest.Config) -> None:
    """Have whatever a test starts end with pytest, however that ends."""
    watchdog.start()
    # Of `--dist loadfile`: it would start with the files that have many tests, not slow ones.
    config.option.loadscopereorder = False


def pytest_report_header() -> list[str]:
    """The versions of the servers, where they are not the machine's."""
    installed = Installation.chosen()
    if not installed.elsewhere or installed.missing:
        return []
    return [
        f"servers of {installed.root}:",
        f"  RabbitMQ {_printed(installed.command('rabbitmqctl', 'rabbitmq-server', 'version'))}",
        f"  {_printed(installed.command('postgres', 'postgresql', '--version'))}",
    ]


def _printed(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow files first, so that no worker is left with one at the end.

    Skip all if the servers are to be those of a folder that could not be made.
    """
    items.sort(key=_tempo)
    if missing := Installation.chosen().missing:
        for item in items:
            item.add_marker(pytest.mark.skip(missing))


def _tempo(item: pytest.Item) -> int:
    slow = (n for n, name in enumerate(_SLOW_FIRST) if item.path.is_relative_to(_HERE / name))
    return next(slow, len(_SLOW_FIRST))


@pytest.fixture(scope="session")
def servers() -> Iterator[ExitStack]:
    """Keeps what the session started."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def rabbit_node(servers: ExitStack) -> RabbitNode:
    """A RabbitMQ node of our own."""
    try:
        return servers.enter_context(rabbitmq())
    except ServerNotFound as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def breakable_node(servers: ExitStack) -> RabbitNode:
    """The one other RabbitMQ node: tests may kill it, and start it again."""
    try:
        return servers.enter_context(rabbitmq())
    except ServerNotFound as error:
        pytest.skip(str(error))


@pytest.fixture
def node(breakable_node: RabbitNode) -> Iterator[RabbitNode]:
    """A RabbitMQ node that this test may kill, freeze and start again."""
    yield breakable_node
    breakable_node.resume()
    if not breakable_node.serves:  # else the tests after one that failed would fail as well
        breakable_node.kill()
        breakable_node.start()


@pytest.fixture(scope="session")
def rabbit_url(request: pytest.FixtureRequest) -> str:
    """A RabbitMQ: the one that FLASHSALE_TEST_BROKER_URL names, else a node of our own."""
    given = os.environ.get("FLASHSALE_TEST_BROKER_URL")
    if given:
        return given
    node: RabbitNode = request.getfixturevalue("rabbit_node")
    return node.url


@pytest.fixture(scope="session")
def postgres_server(servers: ExitStack) -> PostgresServer:
    """A PostgreSQL cluster of our own; tests don't need it to survive a power cut."""
    try:
        return servers.enter_context(postgres(fsync="off", track_commit_timestamp="on"))
    except ServerNotFound as error:
        pytest.skip(str(error))


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> str:
    """An empty database: of the server FLASHSALE_TEST_DATABASE_URL names, else of our own."""
    given = os.environ.get("FLASHSALE_TEST_DATABASE_URL")
    if given:
        return _create_database(given, unique("test").replace("-", "_"))
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database(unique("test"))


def _create_database(url: str, name: str) -> str:
    import asyncio

    from sqlalchemy import make_url, text
    from sqlalchemy.ext.asyncio import create_async_engine

    async def create() -> None:
        engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(f'CREATE DATABASE "{name}"'))
            path = "search_path = flashsale, public"
            await connection.execute(text(f'ALTER DATABASE "{name}" SET {path}'))
        await engine.dispose()

    asyncio.run(create())
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An empty SQLite file."""
    return f"sqlite+aiosqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    """A ledger with its tables, on each kind of database."""
    async with open_ledger(database_url) as opened:
        await opened.migrate()
        yield opened


@pytest.fixture
def topology() -> Topology:
    """A topology of its own, so that tests can share a node. The queue holds ten orders."""
    return sale_topology(f"{unique('t')}.", max_length=10, queue_type="classic")
