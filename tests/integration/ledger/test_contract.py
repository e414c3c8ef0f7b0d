"""What the ledger promises, on SQLite and on PostgreSQL."""

import gc
import math
import time
from collections.abc import Sequence

import pytest
from sqlalchemy import BindParameter, Engine, event
from sqlalchemy.exc import IntegrityError

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger import (
    Buyer,
    Ledger,
    LedgerRefused,
    LedgerUnavailable,
    SchemaOutdated,
    Sink,
    Unsent,
    open_ledger,
)
from loadtest.servers import free_port
from services.builtin.ranking import TOP_BUYERS
from tests.conftest import an_order, draining
from tests.database import execute

NOW = 1_800_000_000.0


async def statuses(sink: Sink, batch: Sequence[Order]) -> list[str]:
    return [outcome.reason or outcome.status for outcome in (await sink.sell(batch, NOW)).outcomes]


async def stored(ledger: Ledger, order: Order) -> Outcome | None:
    return (await ledger.find([OrderId(order.id)])).get(OrderId(order.id))


async def test_a_sale_is_created_once(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 2))
    with pytest.raises(LedgerRefused, match="there is a sale of tv already"):
        await ledger.create_sale(Sale("tv", 3))


async def test_the_ledger_secret_is_created_once(ledger: Ledger) -> None:
    secret = await ledger.secret()
    assert len(secret) == 32
    assert await ledger.secret() == secret


async def test_migrating_twice_does_no_harm_and_verifies(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 2))
    await ledger.migrate()
    await ledger.verify_schema()
    assert len(await ledger.sales()) == 1


async def test_the_schema_of_an_empty_database_is_outdated(database_url: str) -> None:
    async with open_ledger(database_url) as ledger:
        with pytest.raises(SchemaOutdated, match="at revision none"):
            await ledger.verify_schema()
        with pytest.raises((SchemaOutdated, LedgerUnavailable)):
            await ledger.sales()


async def test_an_unreachable_database_is_unavailable() -> None:
    url = f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/none"
    async with open_ledger(url) as ledger:
        with pytest.raises(LedgerUnavailable):
            await ledger.sales()
        with pytest.raises(LedgerUnavailable):
            async with ledger.hold_drain("sale"):
                pass


# Each of these breaks one rule of the books by hand; the audit must name the row.
BREAKS = [
    ("UPDATE sales SET sold = sold + 1 WHERE sku = 'tv'", "sale tv: 3 counted as sold, 2 items"),
    ("UPDATE sales SET customer_limit = 1", "customer 'me' holds 2, limit 1"),
    ("DELETE FROM outbox", "confirmed, but no event"),
    ("UPDATE outbox SET topic = 'order.rejected.tv'", "belongs to no such order"),
    (
        "INSERT INTO outbox (event_id, order_id, topic, created_at)"
        " VALUES ('x', 'y', 'order.confirmed.tv', 0)",
        "outbox x",
    ),
    (
        "INSERT INTO outbox (event_id, order_id, topic, created_at)"
        " SELECT 'x', order_id, topic, created_at FROM outbox",
        "2 events in the outbox",
    ),
    ("UPDATE orders SET sku = 'radio'", "confirmed for radio, of which there is no sale"),
    ("UPDATE orders SET quantity = 7", "2 counted as sold, 7 items"),
    ("UPDATE sales SET stock = NULL", "confirmed for tv, but the shop has not taken it"),
]


@pytest.mark.parametrize(("statement", "row"), BREAKS)
async def test_the_audit_names_the_row_that_is_wrong(
    ledger: Ledger, database_url: str, statement: str, row: str
) -> None:
    await ledger.create_sale(Sale("tv", 5))
    async with draining(ledger) as sink:
        await sink.sell([an_order(customer_id="me", quantity=2)], NOW)
    assert (await ledger.audit()).wrong == ()
    await execute(database_url, statement)
    assert any(row in wrong for wrong in (await ledger.audit()).wrong)


async def test_check_constraints_of_the_tables_refuse_an_oversell(
    ledger: Ledger, database_url: str
) -> None:
    await ledger.create_sale(Sale("tv", 1))
    with pytest.raises(IntegrityError, match="sales_never_oversold"):
        await execute(database_url, "UPDATE sales SET sold = 2")


async def test_a_long_sale_stays_fast(ledger: Ledger) -> None:
    """The plans made while the tables were empty must not scan them when they are full."""
    await ledger.create_sale(Sale("tv", 10**9, customer_limit=5))
    async with draining(ledger) as sink:

        async def sell(batches: int) -> float:
            """Return the shortest time of a batch: other work on the machine makes some longer."""
            shortest = math.inf
            for _ in range(batches):
                batch = [an_order() for _ in range(200)]
                started = time.perf_counter()
                await sink.sell(batch, NOW)
                shortest = min(shortest, time.perf_counter() - started)
            return shortest

        early = await sell(20)
        await sell(60)
        late = await sell(20)
    # A scan makes it fifteen times slower on PostgreSQL by then.
    assert late < 3 * early


async def test_a_batch_of_many_sales_takes_no_more_round_trips_than_one_of_one(
    ledger: Ledger,
) -> None:
    for number in range(40):
        await ledger.create_sale(Sale(f"sku-{number}", 50))
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        async with draining(ledger) as sink:

            async def round_trips(skus: int) -> int:
                statements.clear()
                batch = [an_order(sku=f"sku-{number % skus}") for number in range(40)]
                assert await statuses(sink, batch) == ["confirmed"] * 40
                return len(statements)

            assert await round_trips(skus=40) == await round_trips(skus=1)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert (await ledger.audit()).wrong == ()


async def test_a_batch_counts_what_it_sells_of_each_sale(ledger: Ledger) -> None:
    skus = [f"sku-{number}" for number in range(30)]
    for sku in skus:
        await ledger.create_sale(Sale(sku, 100, sold=0))
    batch = [an_order(sku=sku, quantity=1 + number % 3) for number, sku in enumerate(skus[1:])]
    async with draining(ledger) as sink:
        verdict = await sink.sell([*batch, *(an_order(sku="sku-7") for _ in range(4))], NOW)
    wanted = {order.sku: order.quantity for order in batch} | {"sku-0": 0}
    wanted["sku-7"] += 4
    assert {sale.sku: sale.sold for sale in await ledger.sales()} == wanted
    assert {sale.sku: sale.sold for sale in verdict.sales} == {
        sku: sold for sku, sold in wanted.items() if sold
    }


async def test_no_expression_waits_for_the_garbage_collector(ledger: Ledger) -> None:
    """It comes seldom to a process in a spike, and would find those of thousands of batches."""
    await ledger.create_sale(Sale("tv", 50, customer_limit=1))

    async def send(events: Sequence[Unsent]) -> list[str]:
        return [unsent.event.event_id for unsent in events]

    async def left_by_a_batch(sink: Sink) -> int:
        batch = [an_order(), an_order()]
        await sink.sell(batch, NOW, replayed=[batch[0].id])
        await ledger.outbox.relay(10, NOW, send)
        await ledger.find([OrderId(batch[0].id)])
        await ledger.effects.done("mail", [batch[0].id])
        return sum(type(o) is BindParameter for o in gc.get_objects())

    async with draining(ledger) as sink:
        await left_by_a_batch(sink)  # what is made once
        gc.collect()
        gc.disable()
        try:
            assert await left_by_a_batch(sink) == await left_by_a_batch(sink)
        finally:
            gc.enable()


async def test_top_buyers_come_from_the_query_of_a_service(
    ledger: Ledger, database_url: str
) -> None:
    for customer, bought, at in (("late", 3, 9), ("early", 3, 5), ("little", 1, 1)):
        await execute(
            database_url,
            "INSERT INTO ranking VALUES ('tv', :customer, :bought, :at)",
            customer=customer,
            bought=bought,
            at=float(at),
        )
    assert await ledger.top_buyers(TOP_BUYERS, "tv", 2) == [Buyer("early", 3), Buyer("late", 3)]
    assert await ledger.top_buyers(TOP_BUYERS, "radio", 2) == []
    await execute(database_url, "DROP TABLE ranking")
    assert await ledger.top_buyers(TOP_BUYERS, "tv", 2) == [], "its service has not run yet"


async def test_a_failed_order_is_decided_if_it_is_replayed_and_only_once(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5))
    failed, confirmed = an_order(quantity=2), an_order()
    async with draining(ledger) as sink:
        await sink.fail(OrderId(failed.id), "disk on fire", NOW)
        await sink.sell([confirmed], NOW)
        assert await statuses(sink, [failed]) == ["disk on fire"], "it comes again by itself"
        replayed = [failed.id, confirmed.id]
        for _ in range(2):
            verdict = await sink.sell([failed, confirmed], NOW, replayed)
            assert [o.status for o in verdict.outcomes] == [Status.CONFIRMED, Status.CONFIRMED]
    assert [sale.sold for sale in await ledger.sales()] == [3]
    assert (await ledger.audit()).wrong == ()
