"""What holds cost: nothing where there are none, and a few reads by index where there are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event, text
from sqlalchemy.dialects import postgresql

from flashsale.domain.sales import Sale
from flashsale.ledger import Due, Ledger, open_ledger
from flashsale.ledger.sql.engines.address import postgres_address
from flashsale.ledger.sql.engines.postgresql import OWN_SCHEMA, Postgres
from flashsale.ledger.sql.holds import batches, due
from tests.conftest import an_order, draining

NOW = 1_800_000_000.0
PLAIN_TABLES = ("sales", "orders", "outbox")


@contextmanager
def recorded() -> Iterator[list[str]]:
    """The statements on the tables of sales and orders, as they are executed."""
    found: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if any(f" {table}" in statement for table in (*PLAIN_TABLES, "payments")):
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def kinds(statements: Sequence[str]) -> list[str]:
    return [statement.split()[0] for statement in statements]


async def test_a_batch_of_sales_without_holds_costs_the_statements_it_always_did(
    ledger: Ledger,
) -> None:
    await ledger.create_sale(Sale("tv", 5))
    await ledger.create_sale(Sale("held", 5, hold_seconds=60))
    async with draining(ledger) as sink:
        await sink.sell([an_order(sku="held")], NOW)
        with recorded() as statements:
            await sink.sell([an_order(), an_order()], NOW)
    # Lock, read what is decided; write orders, events and what is sold.
    assert kinds(statements) == ["SELECT", "SELECT", "INSERT", "INSERT", "UPDATE"]
    assert not any("facts" in statement for statement in statements)


async def test_a_drain_without_holds_asks_the_table_of_sales_only(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5))
    async with ledger.hold_drain("sale") as lease:
        with recorded() as statements:
            assert await lease.due(NOW, 100) == Due()
    assert kinds(statements) == ["SELECT"]


async def test_what_is_due_is_found_by_index_whatever_the_plans_were_made_for(
    postgres_url: str,
) -> None:
    """As in the drain: the tables were empty when the database last looked."""
    database = Postgres(postgres_address(postgres_url), OWN_SCHEMA)
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 4_000, hold_seconds=60, waitlist=1_000))
        async with draining(ledger) as sink:
            await sink.sell([an_order() for _ in range(5_000)], NOW)
    of_batch = batches._of_dialect("postgresql")
    found = {"ended_by": NOW, "most": 50, "sku": "tv"}
    asked = {
        "orders_held_by_end": [of_batch.ended_skus, of_batch.ended, due._statements().ended],
        "orders_waiting_by_place": [of_batch.line],
    }
    engine = database.by_key()
    try:
        async with engine.begin() as connection:
            await due.read_in_order(connection)
            for index, statements in asked.items():
                for statement in statements:
                    compiled = statement.params(found).compile(
                        dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]
                        compile_kwargs={"literal_binds": True},
                    )
                    rows = await connection.execute(text(f"EXPLAIN {compiled}"))
                    plan = "\n".join(rows.scalars())
                    assert f"using {index}" in plan, plan
                    assert "Sort" not in plan, plan
    finally:
        await engine.dispose()
