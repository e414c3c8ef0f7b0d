"""The shop's order service is killed, frozen, slow, limited or cut off, and the drain dies."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from urllib.request import Request, urlopen

import msgspec
from sqlalchemy import text

from loadtest.bench.sink.shop import Behaviour, Seen
from loadtest.processes import get
from loadtest.servers import free_port
from tests.faults.proxy import Proxy, proxy
from tests.faults.scenario import scenario
from tests.faults.stand import Stand
from tests.processes import process

_SECRET = "whsec_" + 32 * "A"
_NAME = "shop"


@dataclass
class Receiver:
    """The order service of the shop: a process with a file, and the link to it."""

    stand: Stand
    link: Proxy
    port: int = field(default_factory=free_port)

    async def start(self) -> None:
        """Start it; it goes on with the orders of its file."""
        exits = ExitStack()
        file = str(self.stand.folder / "shop.db")
        command = ["loadtest.bench.sink.shop", "--port", str(self.port), "--file", file]
        running = await asyncio.to_thread(
            exits.enter_context, process(command, self.stand.folder / "shop.log", {})
        )
        self.stand.adopt(_NAME, exits, running)
        await self.stand.until(lambda: get(self._address("seen")) is not None, "the shop")

    async def kill(self) -> None:
        """Kill it, in the middle of whatever it does."""
        self.stand.signal(_NAME, signal.SIGKILL)
        await self.stand.died(_NAME)
        await self.stand.stop(_NAME)

    async def behave(self, **behaviour: object) -> None:
        """Have it misbehave; without arguments no more."""
        body = msgspec.json.encode(Behaviour(**behaviour))  # type: ignore[arg-type]
        request = Request(self._address("behaviour"), body, method="PUT")
        await asyncio.to_thread(lambda: urlopen(request, timeout=10).close())

    def seen(self) -> Seen:
        """What it has seen since its start."""
        body = get(self._address("seen"), 10)
        assert body is not None, "the shop does not answer"
        return msgspec.json.decode(body, type=Seen)

    async def more(self, orders: int, seconds: float = 90.0) -> None:
        """Wait until it has made so many more orders."""
        wanted = len(self.seen().orders) + orders
        await self.stand.until(
            lambda: len(self.seen().orders) >= wanted, f"{orders} more orders", seconds
        )

    def _address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


@asynccontextmanager
async def selling_to_a_shop(stand: Stand) -> AsyncIterator[Receiver]:
    """Have the drain deliver to a shop; at the end see that books and shop agree."""
    port = free_port()
    link = await stand.enter(proxy(lambda: port))
    receiver = Receiver(stand, link, port)
    await receiver.start()
    stand.settings |= {
        "sink_url": f"http://127.0.0.1:{link.port}/orders",
        "sink_secret": _SECRET,
        "sink_timeout_seconds": "2",
    }
    await stand.again("consumer-1")
    await receiver.more(20)
    yield receiver
    link.heal()
    await receiver.more(20)
    await _see_that_books_agree(stand, receiver)


async def _see_that_books_agree(stand: Stand, receiver: Receiver) -> None:
    """Stop the drain, and see that the shop has each order that is said to be delivered, once."""
    await stand.stop("consumer-1")
    select = "SELECT id, delivery, order_ref FROM orders WHERE delivery IS NOT NULL"
    async with stand.session() as session:
        rows = (await session.execute(text(select))).all()
    made = receiver.seen().orders
    assert len(set(made)) == len(made)
    delivered = {row.id for row in rows if row.delivery == "delivered"}
    refs = [row.order_ref for row in rows if row.delivery == "delivered"]
    assert delivered, "nothing was delivered: this tested nothing"
    assert len(set(refs)) == len(refs), "two orders have the same name at the shop"
    assert delivered <= set(made), "an order is said to be delivered, and the shop has none"
    assert set(made) <= {row.id for row in rows}, "the shop has an order that is not in the books"
    assert not any(row.delivery == "failed" for row in rows)
    await stand.start("consumer-1")


@scenario("shop killed and started again", rate=60.0)
async def killed(stand: Stand) -> None:
    async with selling_to_a_shop(stand) as shop:
        for _ in range(2):
            await shop.kill()
            await stand.wait(0.5, 3.0)
            await shop.start()
            await shop.more(5)


@scenario("shop frozen for 5 s", rate=60.0)
async def frozen(stand: Stand) -> None:
    async with selling_to_a_shop(stand):
        stand.signal(_NAME, signal.SIGSTOP)
        await stand.wait(5.0)
        stand.signal(_NAME, signal.SIGCONT)


@scenario("shop slow, and then limited by 429 with Retry-After", rate=60.0)
async def slow_and_limited(stand: Stand) -> None:
    async with selling_to_a_shop(stand) as shop:
        await shop.behave(delay=0.5)
        await stand.wait(3.0)
        await shop.behave(answer=429, retry_after="2", times=3)
        await stand.wait(3.0)
        await shop.behave()


@scenario("answers of the shop get lost, and its connections are reset", rate=60.0)
async def cut_off(stand: Stand) -> None:
    async with selling_to_a_shop(stand) as shop:
        await shop.behave(loses=True)
        await stand.wait(0.1, 0.4)
        await shop.behave()
        await shop.more(5)
        for _ in range(5):
            shop.link.reset()
            await stand.wait(0.1, 0.5)
        shop.link.silence()
        await stand.wait(1.0)
        shop.link.heal()


@scenario("drain killed while it delivers to a shop", short=True, rate=60.0)
async def drain_killed(stand: Stand) -> None:
    async with selling_to_a_shop(stand) as shop:
        await shop.behave(delay=0.05)
        for _ in range(3):
            await stand.wait(0.2, 1.0)
            stand.signal("consumer-1", signal.SIGKILL)
            await stand.died("consumer-1")
            await stand.again("consumer-1")
            await shop.more(5)
