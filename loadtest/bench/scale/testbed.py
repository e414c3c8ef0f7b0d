"""The servers of the benchmark, and isolated sales on them."""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from flashsale.broker import open_broker
from flashsale.domain.order_ids import random_order_id
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from flashsale.messages.orders import encode_order
from flashsale.runtime.settings import PREFIX, load_settings
from flashsale.runtime.stack import topology_of
from loadtest.measure.usage import process_tree
from loadtest.processes import Process, process
from loadtest.servers import PostgresServer, RabbitNode, free_port, postgres, rabbitmq

UNPACED = {"drain_rate": "1000000", "drain_batch": "500"}
_NO_LIMIT = 10_000_000
_STOCK = 1_000_000_000
_IN_FLIGHT = 2_000
_PATIENCE_SECONDS = 30.0
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Gateway:
    """A running gateway and its ports."""

    process: Process
    port: int
    metrics_port: int

    def processes(self) -> list[psutil.Process]:
        """Return the serving processes: the workers, or the gateway itself if it has none."""
        running = process_tree(self.process.pid)
        return running[1:] or running


@dataclass(frozen=True)
class Shop:
    """A sale with its own database and queues. Stock and queue are too large to refuse orders."""

    node: RabbitNode
    database: str
    dsn: str
    folder: Path
    prefix: str
    skus: list[str] = field(default_factory=list)

    @contextmanager
    def gateway(self, **settings: str) -> Iterator[Gateway]:
        """Run a gateway while the context is entered."""
        port, metrics_port = free_port(), free_port()
        ports = {"gateway_port": str(port), "metrics_port": str(metrics_port)}
        with self._process("gateway", ports | {"shutdown_seconds": "0"} | settings) as running:
            running.await_url(f"http://127.0.0.1:{port}/readyz")
            yield Gateway(running, port, metrics_port)

    @contextmanager
    def consumer(self, **settings: str) -> Iterator[Process]:
        """Run a consumer while the context is entered."""
        with self._process("consumer", {"metrics_port": "0"} | settings) as running:
            yield running

    @contextmanager
    def _process(self, name: str, settings: dict[str, str]) -> Iterator[Process]:
        environment = {f"{PREFIX}{k.upper()}": v for k, v in (self._settings | settings).items()}
        log = self.folder / f"{name}-{next(_numbers)}.log"
        with process(["flashsale", name], log, environment) as running:
            yield running

    @property
    def _settings(self) -> dict[str, str]:
        return {
            "broker_url": self.node.url,
            "broker_prefix": self.prefix,
            "database_url": self.database,
            "queue_max_length": str(_NO_LIMIT),
            "services": "none",  # another benchmark measures them
        }

    async def fill(self, count: int) -> None:
        """Publish so many orders, with the skus in turn, and wait for all confirms."""
        settings = load_settings(**self._settings)
        topology = topology_of(settings)
        # Others than before: a customer who orders again gives the hold of the last order back.
        run = next(_numbers)
        skus = itertools.cycle(self.skus)
        async with open_broker(settings.broker_url, topology, _PATIENCE_SECONDS) as broker:
            for first in range(0, count, _IN_FLIGHT):
                now = time.time()
                orders = [
                    Order(random_order_id(), next(skus), f"c-{run}-{number}", 1, now)
                    for number in range(first, min(first + _IN_FLIGHT, count))
                ]
                await asyncio.gather(
                    *(
                        broker.publish(
                            topology.orders, "order", encode_order(order), message_id=order.id
                        )
                        for order in orders
                    )
                )

    def empty(self) -> None:
        """Delete the queue with its messages."""
        self.node.control("delete_queue", f"{self.prefix}sale.orders")


@dataclass(frozen=True)
class BenchTestbed:
    """A broker and a database server."""

    node: RabbitNode
    server: PostgresServer
    folder: Path

    def shop(self, skus: int = 1, hold_seconds: int | None = None) -> Shop:
        """Create a sale of so many skus, whose orders hold their items for so long."""
        name = f"shop{next(_numbers)}"
        url = self.server.create_database(name)
        names = [f"sku-{number}" for number in range(skus)]
        asyncio.run(_prepare(url, names, hold_seconds))
        return Shop(self.node, url, self.server.dsn(name), self.folder, f"{name}.", names)


async def _prepare(url: str, skus: list[str], hold_seconds: int | None) -> None:
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        for sku in skus:
            await ledger.create_sale(Sale(sku, _STOCK, hold_seconds=hold_seconds))


@contextmanager
def open_testbed() -> Iterator[BenchTestbed]:
    """Run the servers while the context is entered."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # Durable servers, as in production.
        yield BenchTestbed(stack.enter_context(rabbitmq()), stack.enter_context(postgres()), folder)
