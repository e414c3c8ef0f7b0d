"""What the benchmark of the HTTP sink runs: a shop, a broker, a database, and drains."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import msgspec

from flashsale.broker import open_broker, sale_topology
from flashsale.domain.order_ids import random_order_id
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from flashsale.messages.orders import encode_order
from loadtest.bench.sink.shop import Behaviour, Seen
from loadtest.processes import Process, ProcessFailed, get, process
from loadtest.servers import free_port, postgres, rabbitmq

_SECRET = "whsec_" + 32 * "A"
_IN_FLIGHT = 500
_PATIENCE_SECONDS = 180.0


@dataclass
class Testbed:
    """Servers of our own, and the shop that drains deliver to."""

    folder: Path
    broker_url: str
    database_url: str
    shop_port: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """The settings of every drain."""
        return {
            "FLASHSALE_BROKER_URL": self.broker_url,
            "FLASHSALE_DATABASE_URL": self.database_url,
            "FLASHSALE_QUEUE_MAX_LENGTH": "10000000",
            "FLASHSALE_METRICS_PORT": "0",
            "FLASHSALE_SERVICES": "none",
            "FLASHSALE_SINK_URL": f"http://127.0.0.1:{self.shop_port}/orders",
            "FLASHSALE_SINK_SECRET": _SECRET,
        }

    @contextmanager
    def shop(self) -> Iterator[None]:
        """Run a new shop, which has seen nothing."""
        self.shop_port = free_port()
        command = ["loadtest.bench.sink.shop", "--port", str(self.shop_port)]
        with process(command, self.folder / f"shop-{self.shop_port}.log") as running:
            running.await_url(f"http://127.0.0.1:{self.shop_port}/seen")
            yield

    @contextmanager
    def drain(self, settings: Mapping[str, str]) -> Iterator[Process]:
        """Run a drain until the end of the block."""
        log = self.folder / "drain.log"
        with process(["flashsale", "consumer"], log, {**self.environment, **settings}) as running:
            yield running

    def seen(self) -> Seen:
        """Return what the shop has seen."""
        return msgspec.json.decode(self._get("seen"), type=Seen)

    def _get(self, path: str) -> str:
        body = get(f"http://127.0.0.1:{self.shop_port}/{path}", 10)
        if body is None:
            raise ProcessFailed("the shop does not answer")
        return body

    def behave(self, behaviour: Behaviour) -> None:
        """Have the shop misbehave."""
        url = f"http://127.0.0.1:{self.shop_port}/behaviour"
        request = Request(url, msgspec.json.encode(behaviour), method="PUT")
        urlopen(request, timeout=10).close()  # noqa: S310 our own

    def until_made(self, orders: int) -> Seen:
        """Wait until the shop has made so many orders; return what it has seen."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (made := int(self._get("made"))) < orders:
            if time.monotonic() > deadline:
                log = (self.folder / "drain.log").read_text()[-2000:]
                raise ProcessFailed(f"{made} of {orders} orders delivered\n{log}")
            time.sleep(0.2)
        return self.seen()

    def put(self, count: int) -> list[str]:
        """Put new orders in the queue; return their ids."""
        return asyncio.run(self._put(count))

    async def _put(self, count: int) -> list[str]:
        topology = sale_topology("", 10_000_000, "quorum")
        orders = [
            Order(random_order_id(), "bench", f"c{number}", 1, time.time())
            for number in range(count)
        ]
        async with open_broker(self.broker_url, topology, 30) as broker:
            for start in range(0, count, _IN_FLIGHT):
                await asyncio.gather(
                    *(
                        broker.publish(
                            topology.orders, "order", encode_order(order), message_id=order.id
                        )
                        for order in orders[start : start + _IN_FLIGHT]
                    )
                )
        return [order.id for order in orders]

    def ended(self, ids: list[str]) -> int:
        """Return how many of these orders the books have as delivered."""
        return asyncio.run(_ended(self.database_url, ids))


async def _ended(url: str, ids: list[str]) -> int:
    async with open_ledger(url) as ledger:
        outcomes = await ledger.outcomes("bench")
    return sum(order_id in outcomes for order_id in ids)


async def _prepare(url: str) -> None:
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("bench", stock=None))


@contextmanager
def testbed(folder: Path) -> Iterator[Testbed]:
    """Run the servers until the end of the block. The stock is the shop's."""
    with ExitStack() as exits:
        node = exits.enter_context(rabbitmq())
        database = exits.enter_context(postgres())  # durable, as in production
        asyncio.run(_prepare(database.url()))
        yield Testbed(folder, node.url, database.url())
