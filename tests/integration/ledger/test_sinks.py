"""What every sink promises: the ledger alone, and the ledger with a receiver, on each database."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager

import pytest
from msgspec.structs import replace

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger import DeliveryLease, Leases, Ledger, LedgerRefused, Sink, Unsent, open_ledger
from tests.conftest import an_order, draining
from tests.shop import Shop, delivering, open_shop

NOW = 1_800_000_000.0

Opened = Callable[[Leases[DeliveryLease]], AbstractAsyncContextManager[Sink]]


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """An order service that takes every order."""
    async with open_shop() as opened:
        yield opened


@pytest.fixture(params=["ledger", "http", "http in batches"])
def opened(request: pytest.FixtureRequest, shop: Shop) -> Opened:
    """Opens the sink of the only drain of a sale."""
    if request.param == "ledger":
        return draining
    batch = 50 if "batches" in request.param else None
    return lambda leases: delivering(leases, shop.url, batch=batch)


async def statuses(sink: Sink, batch: Sequence[Order]) -> list[str]:
    return [outcome.reason or outcome.status for outcome in (await sink.sell(batch, NOW)).outcomes]


async def stored(ledger: Ledger, order: Order) -> Outcome | None:
    """What is known of an order, besides its delivery."""
    outcome = (await ledger.find([OrderId(order.id)])).get(OrderId(order.id))
    return outcome and replace(outcome, delivery=None, order_ref=None)


async def test_a_batch_is_sold_and_can_be_looked_up(ledger: Ledger, opened: Opened) -> None:
    await ledger.create_sale(Sale("tv", 2))
    batch = [an_order(), an_order(), an_order()]
    async with opened(ledger) as sink:
        assert await statuses(sink, batch) == ["confirmed", "confirmed", "sold_out"]
    [sale] = await ledger.sales()
    assert (sale.stock, sale.sold) == (2, 2)
    assert await stored(ledger, batch[0]) == Outcome(batch[0], Status.CONFIRMED)
    assert await stored(ledger, batch[2]) == Outcome(batch[2], Status.REJECTED, "sold_out")
    assert await stored(ledger, an_order()) is None
    books = await ledger.audit()
    assert books.wrong == ()
    assert (books.orders, books.sold) == (3, 2)


async def test_the_same_batch_again_changes_nothing(ledger: Ledger, opened: Opened) -> None:
    await ledger.create_sale(Sale("tv", 2))
    batch = [an_order(), an_order(), an_order()]
    async with opened(ledger) as sink:
        first = await sink.sell(batch, NOW)
        assert await sink.sell(batch, NOW + 1) == first
        assert await sink.sell([batch[1], an_order(), batch[1]], NOW) != first
    books = await ledger.audit()
    assert books.wrong == ()
    assert (books.orders, books.sold) == (4, 2)


async def test_an_order_twice_in_one_batch_is_one_order(ledger: Ledger, opened: Opened) -> None:
    await ledger.create_sale(Sale("tv", 5))
    order = an_order(quantity=2)
    async with opened(ledger) as sink:
        assert await statuses(sink, [order, order]) == ["confirmed", "confirmed"]
    [sale] = await ledger.sales()
    assert sale.sold == 2


async def test_a_customer_never_holds_more_than_the_limit(ledger: Ledger, opened: Opened) -> None:
    await ledger.create_sale(Sale("tv", 10, customer_limit=2))
    async with opened(ledger) as sink:
        mine = [an_order(customer_id="me") for _ in range(3)]
        assert await statuses(sink, mine) == ["confirmed", "confirmed", "customer_limit"]
        later = [an_order(customer_id="me"), an_order(customer_id="you", quantity=2)]
        assert await statuses(sink, later) == ["customer_limit", "confirmed"]
    assert (await ledger.audit()).wrong == ()


async def test_an_order_for_more_than_is_left_says_how_many_are(
    ledger: Ledger, opened: Opened
) -> None:
    await ledger.create_sale(Sale("tv", 3))
    events: list[Unsent] = []

    async def send(unsent: Sequence[Unsent]) -> Sequence[str]:
        events.extend(unsent)
        return [one.event.event_id for one in unsent]

    order = an_order(quantity=5)
    async with opened(ledger) as sink:
        [outcome] = (await sink.sell([order], NOW)).outcomes
        assert outcome == Outcome(order, Status.REJECTED, "not_enough_left", 3)
        assert (await sink.sell([order], NOW)).outcomes == [outcome]
    assert await stored(ledger, order) == outcome
    await ledger.outbox.relay(10, NOW, send)
    [unsent] = events
    assert (unsent.event.reason, unsent.event.remaining) == ("not_enough_left", 3)


async def test_several_sales_in_one_batch(ledger: Ledger, opened: Opened) -> None:
    await ledger.create_sale(Sale("tv", 1))
    await ledger.create_sale(Sale("phone", 1))
    skus = ["phone", "tv", "radio", "tv", "phone"]
    async with opened(ledger) as sink:
        found = await statuses(sink, [an_order(sku=sku) for sku in skus])
    assert found == ["confirmed", "confirmed", "unknown_sku", "sold_out", "sold_out"]
    assert [(s.sku, s.sold) for s in await ledger.sales()] == [("phone", 1), ("tv", 1)]
    assert (await ledger.audit()).wrong == ()


async def test_a_failed_order_may_have_an_id_only(ledger: Ledger, opened: Opened) -> None:
    order = an_order()
    async with opened(ledger) as sink:
        await sink.fail(OrderId(order.id), "not\0 an order", NOW)
        await sink.fail(OrderId(order.id), "again", NOW)
    outcome = await stored(ledger, order)
    assert outcome is not None
    assert (outcome.status, outcome.reason) == (Status.FAILED, "not an order")
    assert (await ledger.audit()).wrong == ()


async def test_a_decided_order_can_not_fail(ledger: Ledger, opened: Opened) -> None:
    await ledger.create_sale(Sale("tv", 2))
    order = an_order()
    async with opened(ledger) as sink:
        await sink.sell([order], NOW)
        await sink.fail(OrderId(order.id), "late", NOW)
    assert await stored(ledger, order) == Outcome(order, Status.CONFIRMED)


async def test_a_row_that_cannot_be_written_is_refused_and_the_rest_can_follow(
    opened: Opened, postgres_url: str
) -> None:
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 5))
        poison, good = an_order(customer_id="nul\0"), an_order()
        async with opened(ledger) as sink:
            with pytest.raises(LedgerRefused):
                await sink.sell([good, poison], NOW)
            assert await stored(ledger, good) is None
            assert await statuses(sink, [good]) == ["confirmed"]
        assert (await ledger.audit()).wrong == ()
