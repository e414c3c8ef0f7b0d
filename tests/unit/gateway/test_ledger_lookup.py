import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from flashsale.domain.order_ids import OrderId, random_order_id
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.ledger import LedgerUnavailable
from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.state import ledger_lookup as lookup
from gateway.state.ledger_lookup import Lookup
from tests.conftest import an_order


class Book:
    """A ledger that counts how often it is asked."""

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
async def reader(book: Book) -> AsyncIterator[Lookup]:
    reader = Lookup(book, 50, GatewayMetrics())
    running = asyncio.create_task(reader.run())
    yield reader
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_many_questions_are_one_query(reader: Lookup, book: Book) -> None:
    order = an_order()
    book.decided[OrderId(order.id)] = Outcome(order, Status.CONFIRMED)
    ids = [OrderId(order.id), *(random_order_id() for _ in range(499))]
    answers = await asyncio.gather(*(reader.find(i) for i in ids for _ in range(3)))
    assert book.asked == [500]
    assert [answer for answer in answers if answer] == [Outcome(order, Status.CONFIRMED)] * 3


async def test_a_query_holds_a_thousand_and_the_rest_waits_its_turn(
    reader: Lookup, book: Book
) -> None:
    await asyncio.gather(*(reader.find(random_order_id()) for _ in range(2500)))
    assert book.asked == [1000, 1000, 500]


async def test_a_list_is_looked_up_by_the_same_pace(reader: Lookup, book: Book) -> None:
    order = an_order()
    book.decided[OrderId(order.id)] = Outcome(order, Status.CONFIRMED)
    ids = [*(random_order_id() for _ in range(1500)), OrderId(order.id)]
    assert await reader.find_all(ids) == book.decided
    assert book.asked == [1000, 501]


async def test_a_ledger_that_fails_is_told_to_all_and_asked_again(
    reader: Lookup, book: Book
) -> None:
    book.gone = True
    asked = [reader.find(random_order_id()) for _ in range(3)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(answer, LedgerUnavailable) for answer in answers)
    book.gone = False
    assert await reader.find(random_order_id()) is None


async def test_one_who_leaves_takes_no_answer_with_it(reader: Lookup, book: Book) -> None:
    order_id = random_order_id()
    leaving, staying = (asyncio.create_task(reader.find(order_id)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying is None


async def test_more_than_can_be_answered_are_refused(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "_MOST_ASKED", 2)
    reader = Lookup(book, 50, GatewayMetrics())
    waiting = [asyncio.create_task(reader.find(random_order_id())) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(LedgerUnavailable, match="too many"):
        await reader.find(random_order_id())
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
