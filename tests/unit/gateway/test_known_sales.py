"""The known sales note each change: announced, read, or due to the clock."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from flashsale.domain.sales import Sale
from flashsale.ledger import Ledger
from flashsale.messages.announcements import Progress, progress_of
from gateway.state.sales import KnownSales
from gateway.state.stream_changes import StreamChanges


class NotedChanges(StreamChanges):
    """Collects the changes of sales, and whether they are to be told at once."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[str, bool]] = []

    def sale_changed(self, sku: str, *, at_once: bool = False) -> None:
        self.noted.append((sku, at_once))

    def taken(self) -> list[tuple[str, bool]]:
        noted, self.noted = self.noted, []
        return noted


class Books:
    """A ledger that has these sales."""

    def __init__(self, *sales: Sale) -> None:
        self.offered = {sale.sku: sale for sale in sales}

    async def sales(self) -> list[Sale]:
        return list(self.offered.values())


@pytest.fixture
def changes() -> NotedChanges:
    return NotedChanges()


async def known(changes: NotedChanges, books: Books) -> KnownSales:
    sales = KnownSales(cast(Ledger, books), changes, time.time)
    await sales.read()
    changes.taken()
    return sales


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_new_sale_is_noted_at_once(changes: NotedChanges) -> None:
    await KnownSales(cast(Ledger, Books(Sale("tv", 5))), changes, time.time).read()
    assert changes.taken() == [("tv", True)]


async def test_an_announced_count_is_noted_and_sold_out_at_once(changes: NotedChanges) -> None:
    sales = await known(changes, Books(Sale("tv", 5)))
    sales.update_sold(Progress("tv", 5, 4))
    assert changes.taken() == [("tv", False)]
    sales.update_sold(Progress("tv", 5, 5))
    assert changes.taken() == [("tv", True)]
    sales.update_sold(Progress("tv", 6, 5))
    assert changes.taken() == [("tv", True)]


async def test_an_announcement_without_news_is_not_noted(changes: NotedChanges) -> None:
    sales = await known(changes, Books(Sale("tv", 5, sold=2)))
    sales.update_sold(Progress("tv", 5, 2))
    sales.update_sold(Progress("unknown", 5, 2))
    assert changes.taken() == []


async def test_a_sale_that_the_shop_has_sold_out_is_noted_at_once(changes: NotedChanges) -> None:
    sales = await known(changes, Books(Sale("tv", None)))
    sales.update_sold(progress_of(Sale("tv", None, sold=3)))
    assert changes.taken() == [("tv", False)]
    sales.update_sold(progress_of(Sale("tv", None, sold=3, sold_out=True)))
    assert changes.taken() == [("tv", True)]
    sale = sales.get("tv")
    assert sale == Sale("tv", None, sold=3, sold_out=True)
    # As the ledger has it: an operator has opened the sale again.
    await sales.read()
    assert changes.taken() == [("tv", True)]


async def test_only_the_changes_of_a_reading_are_noted(changes: NotedChanges) -> None:
    books = Books(Sale("tv", 5), Sale("phone", 5))
    sales = await known(changes, books)
    await sales.read()
    assert changes.taken() == []
    books.offered["tv"] = replace(books.offered["tv"], customer_limit=2)
    await sales.read()
    assert changes.taken() == [("tv", False)]
    books.offered["tv"] = replace(books.offered["tv"], closes_at=time.time() - 1)
    await sales.read()
    assert ("tv", True) in changes.taken()


@pytest.mark.parametrize("opens", [True, False], ids=["opens", "closes"])
async def test_the_moment_of_a_sale_is_noted_without_another_reading(
    changes: NotedChanges, opens: bool
) -> None:
    at = time.time() + 0.2
    sale = Sale("tv", 5, opens_at=at) if opens else Sale("tv", 5, closes_at=at)
    await known(changes, Books(sale, Sale("later", 5, opens_at=at + 3600)))
    await until(lambda: bool(changes.noted))
    assert time.time() >= at
    assert changes.taken() == [("tv", True)]


async def test_each_of_two_moments_is_noted(changes: NotedChanges) -> None:
    now = time.time()
    sale = Sale("tv", 5, opens_at=now + 0.1, closes_at=now + 0.2)
    await known(changes, Books(sale))
    await until(lambda: changes.noted == [("tv", True), ("tv", True)])
