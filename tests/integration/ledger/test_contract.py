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


async def test_a_batch_is_sold_and_can_be_looked_up(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 2))
    batch = [an_order(), an_order(), an_order()]
    async with draining(ledger) as sink:
        assert await statuses(sink, batch) == ["confirmed", "confirmed", "sold_out"]
    [sale] = await ledger.sales()
    assert (sale.stock, sale.sold) == (2, 2)
    assert await stored(ledger, batch[0]) == Outcome(batch[0], Status.CONFIRMED)
    assert await stored(ledger, batch[2]) == Outcome(batch[2], Status.REJECTED, "sold_out")
    assert await stored(ledger, an_order()) is None
    books = await ledger.audit()
    assert books.wrong == ()
    assert (books.orders, books.sold) == (3, 2)


async def test_the_same_batch_again_changes_nothing(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 2))
    batch = [an_order(), an_order(), an_order()]
    async with draining(ledger) as sink:
        first = await sink.sell(batch, NOW)
        assert await sink.sell(batch, NOW + 1) == first
        assert await sink.sell([batch[1], an_order(), batch[1]], NOW) != first
    books = await ledger.audit()
    assert books.wrong == ()
    assert (books.orders, books.sold) == (4, 2)


async def test_an_order_twice_in_one_batch_is_one_order(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5))
    order = an_order(quantity=2)
    async with draining(ledger) as sink:
        assert await statuses(sink, [order, order]) == ["confirmed", "confirmed"]
    [sale] = await ledger.sales()
    assert sale.sold == 2


async def test_a_customer_never_holds_more_than_the_limit(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 10, customer_limit=2))
    async with draining(ledger) as sink:
        mine = [an_order(customer_id="me") for _ in range(3)]
        assert await statuses(sink, mine) == ["confirmed", "confirmed", "customer_limit"]
        later = [an_order(customer_id="me"), an_order(customer_id="you", quantity=2)]
        assert await statuses(sink, later) == ["customer_limit", "confirmed"]
    assert (await ledger.audit()).wrong == ()


async def test_an_order_for_more_than_is_left_says_how_many_are(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 3))
    events: list[Unsent] = []

    async def send(unsent: Sequence[Unsent]) -> Sequence[str]:
        events.extend(unsent)
        return [one.event.event_id for one in unsent]

    order = an_order(quantity=5)
    async with draining(ledger) as sink:
        [outcome] = (await sink.sell([order], NOW)).outcomes
        assert outcome == Outcome(order, Status.REJECTED, "not_enough_left", 3)
        assert (await sink.sell([order], NOW)).outcomes == [outcome]
    assert await stored(ledger, order) == outcome
    await ledger.outbox.relay(10, NOW, send)
    [unsent] = events
    assert (unsent.event.reason, unsent.event.remaining) == ("not_enough_left", 3)


async def test_several_sales_in_one_batch(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 1))
    await ledger.create_sale(Sale("phone", 1))
    skus = ["phone", "tv", "radio", "tv", "phone"]
    async with draining(ledger) as sink:
        found = await statuses(sink, [an_order(sku=sku) for sku in skus])
    assert found == ["confirmed", "confirmed", "unknown_sku", "sold_out", "sold_out"]
    assert [(s.sku, s.sold) for s in await ledger.sales()] == [("phone", 1), ("tv", 1)]
    assert (await ledger.audit()).wrong == ()


async def test_a_failed_order_may_have_an_id_only(ledger: Ledger) -> None:
    order = an_order()
    async with draining(ledger) as sink:
        await sink.fail(OrderId(order.id), "not\0 an order", NOW)
        await sink.fail(OrderId(order.id), "again", NOW)
    outcome = await stored(ledger, order)
    assert outcome is not None
    assert (outcome.status, outcome.reason) == (Status.FAILED, "not an order")
    assert (await ledger.audit()).wrong == ()


async def test_a_decided_order_can_not_fail(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 2))
    order = an_order()
    async with draining(ledger) as sink:
        await sink.sell([order], NOW)
        await sink.fail(OrderId(order.id), "late", NOW)
    assert await stored(ledger, order) == Outcome(order, Status.CONFIRMED)


@pytest.mark.parametrize("ledger_kind", ["postgres"])
async def test_a_row_that_cannot_be_written_is_refused_and_the_rest_can_follow(
    ledger_kind: str, postgres_url: str
) -> None:
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 5))
        poison, good = an_order(customer_id="nul\0"), an_order()
        async with draining(ledger) as sink:
            with pytest.raises(LedgerRefused):
                await sink.sell([good, poison], NOW)
            assert await stored(ledger, good) is None
            assert await statuses(sink, [good]) == ["confirmed"]
        assert (await ledger.audit()).wrong == ()


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
