"""A database of an earlier version is brought to this one with all that is in it."""

import math
from collections.abc import Callable, Sequence

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale
from flashsale.ledger import Effects, Ledger, SchemaOutdated, Unsent, open_ledger
from flashsale.ledger.sql import tables
from services.builtin.loyalty import loyalty
from services.builtin.ranking import ranking
from tests.conftest import an_order, draining
from tests.database import connected, event_ids, execute, rows

NOW = 1_800_000_000.0
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SENT, UNSENT = an_order(customer_id="ann"), an_order(customer_id="ben")


Move = Callable[[Config, str], None]


async def at_revision(url: str, revision: str, move: Move = command.upgrade) -> None:
    def go(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", "flashsale:ledger/sql/migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        move(config, revision)

    async with connected(url) as connection:
        await connection.run_sync(go)


async def filled(url: str, revision: str) -> None:
    """A database of that revision after the sale of two items, one of whose events is sent."""
    await at_revision(url, revision)
    await execute(url, "INSERT INTO sales (sku, stock, sold) VALUES ('tv', 10, 2)")
    for order, sent_at in ((SENT, NOW + 1), (UNSENT, None)):
        await _wrote(url, order, sent_at)
    if revision == "0001":
        return
    await execute(url, "INSERT INTO effects VALUES (:id, 'loyalty', 1)", id=SENT.id)
    await execute(url, "INSERT INTO loyalty VALUES ('ann', 10)")
    await execute(url, "INSERT INTO ranking VALUES ('tv', 'ann', 1, 1)")
    await execute(url, "UPDATE outbox SET traceparent = :parent", parent=TRACEPARENT)


async def _wrote(url: str, order: Order, sent_at: float | None) -> None:
    """Write what a consumer of an earlier version writes."""
    await execute(
        url,
        "INSERT INTO orders (id, sku, customer_id, quantity, status, accepted_at, decided_at)"
        " VALUES (:id, :sku, :customer, 1, 'confirmed', :accepted_at, :now)",
        id=order.id,
        sku=order.sku,
        customer=order.customer_id,
        accepted_at=order.accepted_at,
        now=NOW,
    )
    await execute(
        url,
        "INSERT INTO outbox (order_id, topic, created_at, sent_at)"
        " VALUES (:id, 'order.confirmed.tv', :now, :sent_at)",
        id=order.id,
        now=NOW,
        sent_at=sent_at,
    )


class Relay:
    def __init__(self) -> None:
        self.unsent: list[Unsent] = []

    async def __call__(self, unsent: Sequence[Unsent]) -> list[str]:
        self.unsent += unsent
        return [event.event_id for event, _ in unsent]


@pytest.mark.parametrize("revision", ["0001", "0003"])
async def test_a_migration_keeps_sold_orders_and_the_sale_goes_on(
    database_url: str, revision: str
) -> None:
    await filled(database_url, revision)
    async with open_ledger(database_url) as ledger:
        with pytest.raises(SchemaOutdated, match=f"at revision {revision}"):
            await ledger.verify_schema()
        await ledger.migrate()
        await ledger.verify_schema()
        assert (await ledger.audit()).wrong == ()
        assert await event_ids(database_url) == {SENT.id: SENT.id, UNSENT.id: UNSENT.id}
        relay = Relay()
        await ledger.outbox.relay(10, math.inf, relay)
        [(event, traceparent)] = relay.unsent
        assert (event.event_id, event.order_id) == (UNSENT.id, UNSENT.id)
        assert traceparent == (None if revision == "0001" else TRACEPARENT)
        if revision != "0001":
            await _what_services_did_is_there(ledger)
        await _goes_on(ledger, database_url)


async def _what_services_did_is_there(ledger: Ledger) -> None:
    assert await ledger.effects.done("loyalty", [SENT.id, UNSENT.id]) == {SENT.id}
    [journey] = await ledger.effects.journeys("tv")
    assert (journey.order_id, journey.services) == (SENT.id, 1)
    totals = {service.name: service.totals for service in (loyalty, ranking) if service.totals}
    found = await ledger.holdings(["tv"], totals)
    assert found.effects == {"loyalty": [SENT.id]}
    assert found.tallies["loyalty"].counted == {("", "ann"): 10}
    assert found.tallies["loyalty"].done == {("", "ann"): 1}
    assert found.tallies["ranking"].counted == {("tv", "ann"): 1}


async def _goes_on(ledger: Ledger, url: str) -> None:
    later = an_order(customer_id="cid")
    async with draining(ledger) as sink:
        await sink.sell([later, UNSENT], NOW + 2)
    assert (await ledger.find([OrderId(UNSENT.id)]))[OrderId(UNSENT.id)].delivery is None
    assert [sale.sold for sale in await ledger.sales()] == [3]
    relay = Relay()
    await ledger.outbox.relay(10, math.inf, relay)
    [(event, _)] = relay.unsent
    assert event.order_id == later.id
    assert event.event_id not in (later.id, UNSENT.id)
    await ledger.effects.take_effect("mail", [Effects(event.event_id, event.order_id)])
    assert (await ledger.holdings(["tv"])).effects["mail"] == [later.id]
    assert await ledger.outbox.prune(NOW + 1) == 2
    assert (await ledger.audit()).wrong == ()


@pytest.mark.parametrize(
    "wrong",
    [
        "UPDATE sales SET sold = 11",
        "UPDATE sales SET customer_limit = 0",
        "UPDATE sales SET sold_out = true",
        "UPDATE orders SET delivery = 'lost'",
        "UPDATE orders SET delivery = 'pending', status = 'rejected'",
        "UPDATE orders SET status = 'lost'",
    ],
)
async def test_a_migrated_database_refuses_rows_that_break_a_rule(
    database_url: str, wrong: str
) -> None:
    await filled(database_url, "0001")
    await at_revision(database_url, "head")
    with pytest.raises(IntegrityError):
        await execute(database_url, wrong)


async def test_a_sale_of_the_shops_stock_is_closed_to_the_version_before(
    database_url: str,
) -> None:
    await at_revision(database_url, "head")
    await execute(
        database_url,
        "INSERT INTO sales (sku, sold, sold_out) VALUES ('tv', 7, true), ('pc', 0, false)",
    )
    await at_revision(database_url, "0009", command.downgrade)
    found = await rows(database_url, "SELECT sku, stock, sold FROM sales ORDER BY sku")
    assert [tuple(row) for row in found] == [("pc", 0, 0), ("tv", 7, 7)]


async def test_a_migrated_database_has_the_tables_of_this_version(database_url: str) -> None:
    def difference(connection: Connection) -> object:
        def ours(_: object, name: str | None, kind: str, *rest: object) -> bool:
            return kind != "table" or name in tables.metadata.tables

        context = MigrationContext.configure(connection, opts={"include_object": ours})
        return compare_metadata(context, tables.metadata)

    await at_revision(database_url, "head")
    async with connected(database_url) as connection:
        assert await connection.run_sync(difference) == []
    if database_url.startswith("sqlite"):
        [(index,)] = await rows(
            database_url, "SELECT sql FROM sqlite_master WHERE name = 'outbox_unsent'"
        )
        assert "WHERE sent_at IS NULL" in index


async def test_a_consumer_of_the_previous_version_still_writes_after_the_migration(
    postgres_url: str,
) -> None:
    """Consumers are replaced one by one, after `flashsale migrate`."""
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 10, 1))
        await _wrote(postgres_url, UNSENT, None)
        relay = Relay()
        await ledger.outbox.relay(10, math.inf, relay)
        [(event, _)] = relay.unsent
        assert event.order_id == OrderId(UNSENT.id)
        assert len(event.event_id) == 32
        assert event.event_id != UNSENT.id
        assert (await ledger.audit()).wrong == ()


async def test_a_migration_can_be_downgraded(database_url: str) -> None:
    await filled(database_url, "0003")
    async with open_ledger(database_url) as ledger:
        await ledger.migrate()
    await at_revision(database_url, "0003", command.downgrade)
    found = await rows(database_url, "SELECT order_id, topic FROM outbox ORDER BY order_id")
    assert [row.order_id for row in found] == sorted([SENT.id, UNSENT.id])
    effects = await rows(database_url, "SELECT event_id, service FROM effects")
    assert [tuple(row) for row in effects] == [(SENT.id, "loyalty")]
