"""A gateway takes an order's state from its memory or from the ledger."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from flashsale.domain.order_ids import OrderId, random_order_id
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger import LedgerUnavailable
from flashsale.messages.announcements import Decision
from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.context import CONTEXT, Context
from gateway.routes.order_status import find_order
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.ledger_lookup import LedgerLookup
from gateway.state.orders import KnownOrder, KnownOrders
from gateway.state.queue_position import QueuePosition
from tests.conftest import an_order


class Book:
    """A ledger that counts its queries."""

    def __init__(self) -> None:
        self.decided: dict[OrderId, Outcome] = {}
        self.asked = 0
        self.gone = False

    async def find(self, ids: Sequence[OrderId]) -> dict[OrderId, Outcome]:
        self.asked += 1
        if self.gone:
            raise LedgerUnavailable("gone")
        return {i: self.decided[i] for i in ids if i in self.decided}

    async def outcomes(self, sku: str) -> dict[str, Outcome]:
        return {str(i): outcome for i, outcome in self.decided.items() if outcome.order.sku == sku}


class Gateway:
    """The parts of a gateway that find an order."""

    def __init__(self) -> None:
        self.book = Book()
        self.metrics = GatewayMetrics()
        self.orders = KnownOrders(QueuePosition(KnownDrain(100)), 100, 900)
        self.ledger_lookup = LedgerLookup(self.book, 50, self.metrics)
        self.sales: dict[str, Sale] = {}
        self.identity = None
        self.app = web.Application()
        self.app[CONTEXT] = cast(Context, self)

    async def find(self, order_id: OrderId) -> KnownOrder:
        return await find_order(
            make_mocked_request("GET", "/", match_info={"order_id": order_id}, app=self.app)
        )


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    answering = asyncio.create_task(gateway.ledger_lookup.run())
    yield gateway
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)


async def test_a_failed_order_is_looked_up_as_it_may_have_been_replayed(
    gateway: Gateway,
) -> None:
    order = an_order()
    order_id = OrderId(order.id)
    gateway.orders.add_decided(Decision(order_id, Status.FAILED, "disk on fire", "", 0))
    gateway.book.decided[order_id] = Outcome(order, Status.CONFIRMED)
    known = await gateway.find(order_id)
    assert (known.status, known.reason) == (Status.CONFIRMED, None)
    assert (await gateway.find(order_id)).status is Status.CONFIRMED
    assert gateway.book.asked == 1


async def test_a_failed_order_is_failed_while_the_database_does_not_answer(
    gateway: Gateway,
) -> None:
    order_id = random_order_id()
    gateway.orders.add_decided(Decision(order_id, Status.FAILED, "disk on fire", "", 0))
    gateway.book.gone = True
    assert (await gateway.find(order_id)).reason == "disk on fire"


@pytest.mark.parametrize("status", [Status.QUEUED, Status.CONFIRMED, Status.REJECTED])
async def test_a_known_order_is_not_looked_up_in_the_database(
    gateway: Gateway, status: Status
) -> None:
    order_id = random_order_id()
    if status is Status.QUEUED:
        gateway.orders.add_taken(order_id, "tv", 1)
    else:
        gateway.orders.add_decided(Decision(order_id, status, None, "tv", 1))
    assert (await gateway.find(order_id)).status is status
    assert gateway.book.asked == 0
