"""Looking orders up: many ids in one query, and a limit on the queries."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from flashsale.domain.order_ids import OrderId, random_order_id
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.ledger import LedgerUnavailable
from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.state import ledger_lookup
from gateway.state.ledger_lookup import LedgerLookup
from tests.conftest import an_order


class Book:
    """A ledger that keeps the sizes of its queries."""

    def __init__(self) -> None:
        self.decided: dict[OrderId, Outcome] = {}
        self.asked: list[int] = []
        self.gone = False

    async def find(self, ids: Sequence[OrderId]) -> dict[OrderId, Outcome]:
        self.asked.append(len(ids))
        if self.gone:
            raise LedgerUnavailable("gone")
        return {i: self.decided[i] for i in ids if i in self.decided}

    async def outcomes(self, sku: str) -> dict[str, Outcome]:
        return {str(i): outcome for i, outcome in self.decided.items() if outcome.order.sku == sku}


@pytest.fixture
async def book() -> Book:
    return Book()


@pytest.fixture
async def lookup(book: Book) -> AsyncIterator[LedgerLookup]:
    lookup = LedgerLookup(book, 50, GatewayMetrics())
    running = asyncio.create_task(lookup.run())
    yield lookup
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_many_orders_are_looked_up_in_one_query(lookup: LedgerLookup, book: Book) -> None:
    order = an_order()
    book.decided[OrderId(order.id)] = Outcome(order, Status.CONFIRMED)
    ids = [OrderId(order.id), *(random_order_id() for _ in range(499))]
    answers = await asyncio.gather(*(lookup.find(i) for i in ids for _ in range(3)))
    assert book.asked == [500]
    assert [answer for answer in answers if answer] == [Outcome(order, Status.CONFIRMED)] * 3


async def test_a_query_holds_a_thousand_ids_and_the_rest_waits(
    lookup: LedgerLookup, book: Book
) -> None:
    await asyncio.gather(*(lookup.find(random_order_id()) for _ in range(2500)))
    assert book.asked == [1000, 1000, 500]


async def test_a_list_is_looked_up_at_the_same_pace(lookup: LedgerLookup, book: Book) -> None:
    order = an_order()
    book.decided[OrderId(order.id)] = Outcome(order, Status.CONFIRMED)
    ids = [*(random_order_id() for _ in range(1500)), OrderId(order.id)]
    assert await lookup.find_all(ids) == book.decided
    assert book.asked == [1000, 501]


async def test_a_ledger_error_is_raised_for_all_and_the_ledger_is_asked_again(
    lookup: LedgerLookup, book: Book
) -> None:
    book.gone = True
    asked = [lookup.find(random_order_id()) for _ in range(3)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(answer, LedgerUnavailable) for answer in answers)
    book.gone = False
    assert await lookup.find(random_order_id()) is None


async def test_a_cancelled_lookup_does_not_cancel_another(lookup: LedgerLookup, book: Book) -> None:
    order_id = random_order_id()
    leaving, staying = (asyncio.create_task(lookup.find(order_id)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying is None


async def test_lookups_over_the_limit_are_refused(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_lookup, "_MOST_ASKED", 2)
    lookup = LedgerLookup(book, 50, GatewayMetrics())
    waiting = [asyncio.create_task(lookup.find(random_order_id())) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(LedgerUnavailable, match="too many"):
        await lookup.find(random_order_id())
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
