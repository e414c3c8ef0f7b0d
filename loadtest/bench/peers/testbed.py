"""The servers that all contestants share. Each contestant has its own queue and database."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import aiormq
import asyncpg
import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import NackError

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.bench.peers.contestants import DRAINING, GATEWAY, PEERS, Contestant
from loadtest.peers.shop import SCHEMA
from loadtest.processes import Process, process
from loadtest.servers import PostgresServer, RabbitNode, free_port
from loadtest.servers.server import await_port

SKU = "bench"
SOLD_OUT_SKU = "gone"

_STOCK = 1_000_000_000
_QUIET_SECONDS = 0.3
_PATIENCE_SECONDS = 30
# A quorum queue with a limit of 1 takes a few messages.
_MOST_TO_FILL = 100


class BenchTestbed:
    """Runs contestants on one broker node and one database server."""

    def __init__(self, node: RabbitNode, database: PostgresServer, folder: Path) -> None:
        self._node = node
        self._database = database
        self._folder = folder

    async def prepare(self) -> None:
        """Create the databases with a sale that never sells out; ours has a sold-out one, too."""
        for contestant in DRAINING:
            self._database.create_database(contestant.name)
        async with open_ledger(self._database.url(GATEWAY.name)) as ledger:
            await ledger.migrate()
            await ledger.create_sale(Sale(SKU, stock=_STOCK))
            await ledger.create_sale(Sale(SOLD_OUT_SKU, stock=1))
        await self._execute(GATEWAY, f"UPDATE sales SET sold = 1 WHERE sku = '{SOLD_OUT_SKU}'")
        for peer in PEERS:
            await self._execute(peer, f"{SCHEMA} INSERT INTO sales VALUES ('{SKU}', {_STOCK})")

    def dsn(self, contestant: Contestant) -> str:
        """Return the address of a contestant's database."""
        return self._database.dsn(contestant.name)

    @contextmanager
    def gateway(
        self, contestant: Contestant, changes: Mapping[str, str] | None = None
    ) -> Iterator[tuple[Process, int]]:
        """Run a gateway; yield the process and its port once that is open."""
        port = free_port()
        settings = {**contestant.settings, **(changes or {})}
        with self._run(contestant, contestant.gateway, settings, port=port) as running:
            await_port(port)
            yield running, port

    @contextmanager
    def consumer(
        self, contestant: Contestant, changes: Mapping[str, str], rate: int = 0
    ) -> Iterator[Process]:
        """Run a consumer. `rate` is the limit in orders a second for a paced one."""
        settings = {**contestant.settings, **changes}
        with self._run(contestant, contestant.consumer, settings, rate=rate) as running:
            yield running

    @contextmanager
    def _run(
        self,
        contestant: Contestant,
        command: tuple[str, ...],
        settings: Mapping[str, str],
        port: int = 0,
        rate: int = 0,
    ) -> Iterator[Process]:
        values = {
            "amqp": self._node.url,
            "dsn": self.dsn(contestant),
            "url": self._database.url(contestant.name),
            "port": port,
            "rate": rate,
        }
        with process(
            [part.format_map(values) for part in command],
            self._folder / f"{contestant.name}.log",
            {name: value.format_map(values) for name, value in settings.items()},
        ) as running:
            yield running

    async def _execute(self, contestant: Contestant, statements: str) -> None:
        connection = await asyncpg.connect(self.dsn(contestant))
        try:
            await connection.execute(statements)
        finally:
            await connection.close()

    def ready(self, queue: str) -> int:
        """Return the number of ready messages in the queue."""
        with self._channel() as channel:
            return int(channel.queue_declare(queue, passive=True).method.message_count or 0)

    def fill(self, queue: str) -> None:
        """Fill a queue until it refuses a message. Raises `RuntimeError` if it takes too many."""
        with self._channel() as channel:
            channel.confirm_delivery()
            for _ in range(_MOST_TO_FILL):
                try:
                    channel.basic_publish("", queue, b"")
                except NackError:
                    return
        raise RuntimeError(f"{queue} is not full after {_MOST_TO_FILL} messages")

    def empty(self, queue: str) -> None:
        """Empty the queue until no more messages arrive."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        with self._channel() as channel:
            quiet_since = time.monotonic()
            while time.monotonic() < quiet_since + _QUIET_SECONDS:
                if channel.queue_purge(queue).method.message_count:
                    quiet_since = time.monotonic()
                if quiet_since > deadline:
                    raise RuntimeError(f"{queue} is still filled after {_PATIENCE_SECONDS} s")
                time.sleep(_QUIET_SECONDS / 10)

    async def versions(self) -> dict[str, str]:
        """Return the versions that the servers report."""
        broker = await aiormq.connect(self._node.url)
        database = await asyncpg.connect(self.dsn(GATEWAY))
        try:
            return {
                "RabbitMQ": str(broker.server_properties["version"]),
                "PostgreSQL": str(await database.fetchval("SHOW server_version")),
            }
        finally:
            await database.close()
            await broker.close()

    @contextmanager
    def _channel(self) -> Iterator[BlockingChannel]:
        connection = pika.BlockingConnection(pika.URLParameters(self._node.url))
        try:
            yield connection.channel()
        finally:
            connection.close()
