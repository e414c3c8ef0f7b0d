"""An order service of a shop in this process, and the way to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry

from consumer.delivery.attempt_gate import AttemptGate
from consumer.delivery.delivery_sink import DeliverySink
from consumer.delivery.dispatch import dispatching
from consumer.delivery.route import Route
from consumer.drain_control import DrainControl
from flashsale.ledger import DeliveryLease, Leases, Sink
from flashsale.observability.delivery_metrics import DeliveryMetrics
from flashsale.sinks.http.address import ReceiverAddress
from flashsale.sinks.http.receiver import open_receiver
from loadtest.bench.sink.shop import Behaviour, Book, Seen, create_app

KEY = b"k" * 24


@dataclass(frozen=True)
class Shop:
    """A running order service."""

    book: Book
    base: str
    client: aiohttp.ClientSession

    @property
    def url(self) -> str:
        """The address that takes orders."""
        return f"{self.base}/orders"

    async def behave(self, **behaviour: object) -> None:
        """Make it misbehave from now on; without arguments it does so no more."""
        body = msgspec.json.encode(Behaviour(**behaviour))  # type: ignore[arg-type]
        async with self.client.put(f"{self.base}/behaviour", data=body) as answer:
            assert answer.status == 204, await answer.text()

    async def seen(self) -> Seen:
        """What it has seen."""
        async with self.client.get(f"{self.base}/seen") as answer:
            return msgspec.json.decode(await answer.read(), type=Seen)


@asynccontextmanager
async def open_shop() -> AsyncIterator[Shop]:
    """Run an order service until the end of the block."""
    book = Book()
    runner = web.AppRunner(create_app(book), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        async with aiohttp.ClientSession() as client:
            yield Shop(book, f"http://{host}:{port}", client)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def delivering(
    leases: Leases[DeliveryLease], url: str, *, batch: int | None = None, rate: int = 100_000
) -> AsyncIterator[Sink]:
    """The sink of the only drain of a sale, which delivers to an address."""
    address = ReceiverAddress(url=url, key=KEY, batch=batch)
    control = DrainControl(rate)
    gate = AttemptGate(control, batch or 1, DeliveryMetrics(CollectorRegistry()))
    async with leases.hold_drain("sale") as lease, open_receiver(address) as receiver:
        route = Route(receiver=receiver, gate=gate, concurrency=64, size=batch or 1)
        books, sink = lease.open_deliveries(), lease.open_sink()
        async with dispatching(route, books, sink, clock=lambda: 1_800_000_000.0) as dispatch:
            yield DeliverySink(dispatch, books, sink)
