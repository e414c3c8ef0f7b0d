"""When a refused order costs a query: if memory may lack an earlier attempt, and rarely else."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from flashsale.domain.audit_entries import PROGRAM, Author
from flashsale.domain.order_ids import OrderId, random_order_id
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger import LedgerUnavailable
from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.intake import earlier_attempts
from gateway.intake.earlier_attempts import AttemptUnknown, EarlierAttempts
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.ledger_lookup import LedgerLookup
from gateway.state.orders import KnownOrders
from gateway.state.queue_position import QueuePosition
from gateway.state.sales import KnownSales
from gateway.state.stream_changes import StreamChanges
from tests.conftest import an_order

QUERIES = 20
REMEMBERED_SECONDS = 60.0


class Book:
    """A ledger that counts its queries."""

    def __init__(self) -> None:
        self.decided: dict[OrderId, Outcome] = {}
        self.sold = 1
        self.asked = 0
        self.gone = False
        self.silent = False

    async def create_sale(self, sale: Sale, author: Author = PROGRAM) -> Sale:
        return sale

    async def sales(self) -> list[Sale]:
        return [Sale("tv", 5, self.sold)]

    async def find(self, ids: Sequence[OrderId]) -> dict[OrderId, Outcome]:
        self.asked += 1
        if self.gone:
            raise LedgerUnavailable("gone")
        if self.silent:
            await asyncio.Event().wait()
        return {i: self.decided[i] for i in ids if i in self.decided}

    async def outcomes(self, sku: str) -> dict[str, Outcome]:
        return {}


class Gateway:
    """The parts of a gateway that find earlier attempts."""

    def __init__(self) -> None:
        self.book = Book()
        self.queue_position = QueuePosition(KnownDrain(100))
        self.orders = KnownOrders(self.queue_position, 2, REMEMBERED_SECONDS)
        self.sales = KnownSales(self.book, StreamChanges(), time.time)
        self.lookup = LedgerLookup(self.book, QUERIES, GatewayMetrics())
        self.attempts = EarlierAttempts(
            self.orders,
            self.sales,
            self.queue_position,
            self.lookup,
            queries=QUERIES,
            seconds=REMEMBERED_SECONDS,
        )

    async def refuse(self, count: int) -> int:
        """Refuse orders with new keys one after the other; return how many queries that cost."""
        before = self.book.asked
        for _ in range(count):
            assert await self.attempts.find(random_order_id(), "tv") is None
        return self.book.asked - before

    def hear_since(self, seconds: float) -> None:
        """Have heard announcements for so long."""
        self.orders.hear()
        self.orders.complete_since -= seconds


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    await gateway.sales.read()
    answering = asyncio.create_task(gateway.lookup.run())
    yield gateway
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)


async def test_a_gateway_that_started_a_moment_ago_asks_the_ledger(gateway: Gateway) -> None:
    order = an_order()
    order_id = OrderId(order.id)
    gateway.book.decided[order_id] = Outcome(order, Status.CONFIRMED)
    gateway.hear_since(1)
    assert await gateway.refuse(3) == 3
    found = await gateway.attempts.find(order_id, "tv")
    assert found is not None
    assert found.status is Status.CONFIRMED
    assert gateway.book.asked == 4
    assert await gateway.attempts.find(order_id, "tv") is found
    assert gateway.book.asked == 4  # it is in memory now


@pytest.mark.parametrize("since", ["long ago", "the sale began"])
async def test_a_gateway_that_has_heard_everything_asks_for_few_orders(
    gateway: Gateway, since: str
) -> None:
    gateway.hear_since(REMEMBERED_SECONDS + 1 if since == "long ago" else 0)
    if since == "the sale began":
        gateway.book.sold = 0
        await gateway.sales.read()
        gateway.book.sold = 1
        await gateway.sales.read()
    started = time.monotonic()
    asked = await gateway.refuse(1000)
    assert asked <= 1 + QUERIES / 10 * (time.monotonic() - started)


async def test_a_gateway_that_was_cut_off_asks_the_ledger(gateway: Gateway) -> None:
    gateway.hear_since(REMEMBERED_SECONDS + 1)
    gateway.orders.stop_hearing()
    assert await gateway.refuse(3) == 3
    gateway.orders.hear()
    assert await gateway.refuse(3) == 3


async def test_a_gateway_that_has_forgotten_orders_too_early_asks_the_ledger(
    gateway: Gateway,
) -> None:
    gateway.hear_since(REMEMBERED_SECONDS + 1)
    for _ in range(3):  # it remembers two
        gateway.orders.add_taken(random_order_id(), "tv", 1)
    gateway.queue_position.recount(0)
    assert await gateway.refuse(3) == 3


async def test_nobody_knows_while_unheard_orders_wait(gateway: Gateway) -> None:
    gateway.hear_since(1)
    gateway.queue_position.recount(1)
    with pytest.raises(AttemptUnknown):
        await gateway.attempts.find(random_order_id(), "tv")
    gateway.queue_position.leave_unannounced()
    assert await gateway.refuse(1) == 1


@pytest.mark.parametrize("trouble", ["gone", "silent"])
async def test_a_ledger_in_trouble_is_left_alone_for_a_moment(
    gateway: Gateway, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier_attempts, "_LONGEST_SECONDS", 0.05)
    setattr(gateway.book, trouble, True)
    for _ in range(20):
        with pytest.raises(AttemptUnknown):
            await gateway.attempts.find(random_order_id(), "tv")
    assert gateway.book.asked == 1
