"""Changes of sales: all or nothing, once, and in the audit. On SQLite and on PostgreSQL."""

import asyncio
import time
from dataclasses import replace

import pytest

from flashsale.domain.audit_entries import Author
from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.operators.sale_changes import (
    CloseNow,
    OpenNow,
    SaleChange,
    StockBelowSold,
    StockChange,
    TermsChange,
)
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.domain.sales import Sale
from flashsale.ledger import (
    ChangedMeanwhile,
    KeyTaken,
    Ledger,
    LedgerRefused,
    OrderQuery,
    SaleHasSold,
    SaleUnknown,
)
from tests.conftest import an_order, draining

ANN = Author("ann", "a reason", "request-1")
NOW = 1_800_000_000.0


def with_key(key: str, who: str = "ann") -> Author:
    return Author(who, idempotency_key=key)


async def actions(ledger: Ledger) -> list[str]:
    return [entry.action for entry in await ledger.audit_log.entries(100)]


async def test_a_sale_keeps_what_shoppers_see(ledger: Ledger) -> None:
    sale = Sale("tv", 5, 0, 2, 1.0, 2.0, "A TV", "499.00", "EUR", "/tv.png")
    assert await ledger.create_sale(sale, ANN) == sale
    assert await ledger.find_sale("tv") == sale
    assert await ledger.sales() == [sale]
    [entry] = await ledger.audit_log.entries(1)
    assert (entry.who, entry.action, entry.target, entry.reason, entry.request_id) == (
        "ann",
        "sale.create",
        "tv",
        "a reason",
        "request-1",
    )
    assert (entry.before, entry.after) == (None, vars(sale))


async def test_each_change_makes_a_version_and_an_entry(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5))
    changes: list[SaleChange] = [
        TermsChange(title="A TV", customer_limit=2),
        StockChange(5),
        CloseNow(),
        OpenNow(),
    ]
    for number, change in enumerate(changes):
        changed = await ledger.change_sale("tv", change, ANN, version=number + 1)
        assert changed == await ledger.find_sale("tv")
        assert changed.version == number + 2
        [entry] = await ledger.audit_log.entries(1)
        assert (entry.action, entry.target) == (change.action, "tv")
        assert entry.after == vars(changed)
    assert (changed.title, changed.customer_limit, changed.stock) == ("A TV", 2, 10)
    assert await actions(ledger) == [
        "sale.open",
        "sale.close",
        "sale.stock",
        "sale.change",
        "sale.create",
    ]


async def test_a_refused_change_leaves_nothing(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5))
    with pytest.raises(ChangeRefused):
        await ledger.change_sale("tv", TermsChange(title="x", customer_limit=0), ANN)
    with pytest.raises(ChangedMeanwhile):
        await ledger.change_sale("tv", StockChange(1), ANN, version=2)
    with pytest.raises(ChangeRefused):
        await ledger.change_sale("tv", StockChange(1), Author("ann", "x" * 501))
    with pytest.raises(SaleUnknown):
        await ledger.change_sale("radio", StockChange(1), ANN)
    with pytest.raises(SaleUnknown):
        await ledger.find_sale("radio")
    assert await ledger.find_sale("tv") == Sale("tv", 5)
    assert await actions(ledger) == ["sale.create"]


async def test_a_repeated_request_is_applied_once(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5))
    first = await ledger.change_sale("tv", StockChange(500), with_key("k"), version=1)
    await ledger.change_sale("tv", StockChange(1), ANN)
    again = await ledger.change_sale("tv", StockChange(500), with_key("k"), version=1)
    assert again == first == Sale("tv", 505, version=2)
    assert (await ledger.find_sale("tv")).stock == 506
    others: list[tuple[SaleChange, Author]] = [
        (StockChange(501), with_key("k")),
        (StockChange(500), with_key("k", "bob")),
        (OpenNow(), with_key("k")),
    ]
    for change, author in others:
        with pytest.raises(KeyTaken):
            await ledger.change_sale("tv", change, author)
    assert (await ledger.find_sale("tv")).version == 3


async def test_a_request_that_comes_many_times_at_once_is_applied_once(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5))
    author = with_key("k")
    results = await asyncio.gather(
        *(ledger.change_sale("tv", StockChange(500), author) for _ in range(5))
    )
    assert {sale.stock for sale in results} == {505}
    created = await asyncio.gather(
        *(ledger.create_sale(Sale("radio", 7), with_key("r")) for _ in range(5))
    )
    assert set(created) == {Sale("radio", 7)}
    assert (await actions(ledger)).count("sale.stock") == 1
    assert (await actions(ledger)).count("sale.create") == 2


async def test_a_key_stands_for_one_request_whatever_sale_it_is_about(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5), with_key("k"))
    assert await ledger.create_sale(Sale("tv", 5), with_key("k")) == Sale("tv", 5)
    with pytest.raises(KeyTaken):
        await ledger.create_sale(Sale("radio", 5), with_key("k"))
    made = await asyncio.gather(
        *(ledger.create_sale(Sale(sku, 5), with_key("at once")) for sku in ("a", "b", "c")),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in made) == ["KeyTaken", "KeyTaken", "Sale"]
    assert len(await ledger.sales()) == 2


async def test_a_sale_is_created_once_also_at_once(ledger: Ledger) -> None:
    made = await asyncio.gather(
        *(ledger.create_sale(Sale("tv", stock), ANN) for stock in (1, 2, 3)),
        return_exceptions=True,
    )
    refused = [one for one in made if isinstance(one, LedgerRefused)]
    assert len(refused) == 2
    assert "there is a sale of tv already" in str(refused[0])
    assert await actions(ledger) == ["sale.create"]


async def test_stock_goes_down_to_what_is_sold_and_no_further(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5))
    async with draining(ledger) as sink:
        await sink.sell([an_order(quantity=3)], NOW)
    with pytest.raises(StockBelowSold, match="at most 2 can be taken away"):
        await ledger.change_sale("tv", StockChange(-3), ANN)
    changed = await ledger.change_sale("tv", StockChange(-2), ANN)
    assert (changed.stock, changed.sold, changed.remaining) == (3, 3, 0)


async def test_what_an_operator_changes_counts_for_the_next_batch(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 1))
    async with draining(ledger) as sink:
        batch = [an_order(), an_order()]
        verdict = await sink.sell(batch, NOW)
        assert [o.status for o in verdict.outcomes] == [Status.CONFIRMED, Status.REJECTED]
        await ledger.change_sale("tv", StockChange(1), ANN)
        assert (await sink.sell([an_order()], NOW)).outcomes[0].status is Status.CONFIRMED
        await ledger.change_sale("tv", CloseNow(), ANN)
        late = an_order(accepted_at=time.time() + 5)
        assert (await sink.sell([late], NOW)).outcomes[0].reason == "sale_closed"
    sale = await ledger.find_sale("tv")
    assert (sale.sold, sale.stock, sale.version) == (2, 2, 3)


async def test_stock_up_and_down_at_sold_out_while_a_drain_runs(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 10))
    confirmed = 0
    done = asyncio.Event()

    async def drain() -> None:
        nonlocal confirmed
        async with draining(ledger) as sink:
            while not done.is_set() or confirmed < ((await ledger.find_sale("tv")).stock or 0):
                batch = [an_order() for _ in range(7)]
                for outcome in (await sink.sell(batch, NOW)).outcomes:
                    confirmed += outcome.status is Status.CONFIRMED
                await asyncio.sleep(0)

    async def operate() -> int:
        stock = 10
        for number in range(40):
            add = 5 if number % 2 == 0 else -4
            try:
                await ledger.change_sale("tv", StockChange(add), ANN)
                stock += add
            except StockBelowSold:
                assert add < 0
            await asyncio.sleep(0)
        done.set()
        return stock

    _, stock = await asyncio.gather(drain(), operate())
    sale = await ledger.find_sale("tv")
    assert (sale.stock, sale.sold, sale.remaining) == (stock, confirmed, 0)
    assert (await ledger.audit()).wrong == ()
    changes = [e for e in await ledger.audit_log.entries(100) if e.action == "sale.stock"]
    assert sale.version == 1 + len(changes)


async def test_only_a_sale_that_never_sold_is_deleted(ledger: Ledger) -> None:
    for sku, stock in (("sold", 5), ("named", 0), ("new", 5)):
        await ledger.create_sale(Sale(sku, stock))
    async with draining(ledger) as sink:
        await sink.sell([an_order(sku="sold"), an_order(sku="named")], NOW)
        for sku in ("sold", "named"):
            with pytest.raises(SaleHasSold):
                await ledger.delete_sale(sku, ANN)
        with pytest.raises(ChangedMeanwhile):
            await ledger.delete_sale("new", ANN, version=2)
        await ledger.delete_sale("new", ANN, version=1)
        with pytest.raises(SaleUnknown):
            await ledger.delete_sale("new", ANN)
        # An order that waits in the queue is decided all the same.
        [outcome] = (await sink.sell([an_order(sku="new")], NOW)).outcomes
        assert outcome.reason == "unknown_sku"
    [entry] = await ledger.audit_log.entries(1)
    assert (entry.action, entry.target, entry.after) == ("sale.delete", "new", None)
    assert entry.before == vars(Sale("new", 5))


async def test_orders_come_in_pages_the_newest_first(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 4))
    async with draining(ledger) as sink:
        for number in range(3):
            batch = [an_order(customer_id=name, quantity=1) for name in ("ann", "bob")]
            await sink.sell(batch, NOW + number)
        await sink.fail(OrderId("f" * 32), "unreadable", NOW + 9)
    query = OrderQuery(limit=2)
    seen = []
    while page := await ledger.decided_orders(query):
        seen += page
        query = replace(query, after=(page[-1].decided_at, page[-1].id))
    assert len({order.id for order in seen}) == 7
    assert seen == sorted(seen, key=lambda o: (o.decided_at, o.id), reverse=True)
    assert (seen[0].status, seen[0].sku, seen[0].quantity) == (Status.FAILED, None, None)

    async def found(**asked: object) -> int:
        return len(await ledger.decided_orders(OrderQuery(100, **asked)))  # type: ignore[arg-type]

    assert await found(customer_id="ann") == 3
    assert await found(customer_id="ann", sku="tv", status=Status.CONFIRMED) == 2
    assert await found(status=Status.REJECTED) == 2
    assert await found(sku="radio") == 0
