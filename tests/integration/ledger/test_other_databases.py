"""Databases that are set up in another way than ours: what can't work is said in one line."""

import asyncio

import pytest
from sqlalchemy import make_url

from flashsale.domain.order_ids import random_order_id
from flashsale.domain.sales import Sale
from flashsale.ledger import (
    Effects,
    Ledger,
    SchemaOutdated,
    SchemaRefused,
    SchemaUnknown,
    StatementRefused,
    open_ledger,
)
from loadtest.servers import PostgresServer
from services.builtin.loyalty import loyalty
from tests.conftest import an_order, draining, unique
from tests.database import execute, rows
from tests.integration.cli.test_cli import flashsale, one_line

NOW = 1_800_000_000.0


@pytest.fixture
def shared_url(postgres_server: PostgresServer) -> str:
    """A database of the test's own server, where tests may create roles."""
    return postgres_server.create_database(unique("other"))


async def test_two_installations_share_a_database(shared_url: str) -> None:
    """The role has the name of the first one's schema, where PostgreSQL looks by default."""
    async with open_ledger(shared_url) as first, open_ledger(shared_url, "second") as second:
        await first.migrate()
        await first.create_sale(Sale("tv", 5))
        with pytest.raises(SchemaOutdated, match="at revision none"):
            await second.verify_schema()
        await second.migrate()
        await second.verify_schema()
        assert await second.sales() == []
        await second.create_sale(Sale("tv", 7))
        async with draining(first) as one, draining(second) as other:
            await one.sell([an_order()], NOW)
            await other.sell([an_order(), an_order()], NOW)
        assert [sale.remaining for sale in await first.sales()] == [4]
        assert [sale.remaining for sale in await second.sales()] == [5]


async def test_tables_of_a_later_version_are_left_alone(shared_url: str) -> None:
    async with open_ledger(shared_url) as ledger:
        await ledger.migrate()
        await execute(shared_url, "UPDATE flashsale.alembic_version SET version_num = '9999'")
        for refused in (ledger.verify_schema, ledger.migrate):
            with pytest.raises(SchemaUnknown, match="9999, which this version does not know"):
                await refused()
    line = one_line(flashsale("migrate", database_url=shared_url))
    assert "run that one" in line


async def test_tables_without_a_revision_are_not_created_again(shared_url: str) -> None:
    async with open_ledger(shared_url) as ledger:
        await ledger.migrate()
        for lost in (
            "DELETE FROM flashsale.alembic_version",
            "DROP TABLE flashsale.alembic_version",
        ):
            await execute(shared_url, lost)
            for refused in (ledger.verify_schema, ledger.migrate):
                with pytest.raises(SchemaUnknown, match="does not say of which version"):
                    await refused()


@pytest.mark.parametrize(
    "made",
    [
        "CREATE VIEW flashsale.orders AS SELECT 1 AS id",
        "CREATE SEQUENCE flashsale.orders",
        "CREATE TYPE flashsale.orders AS ENUM ('new', 'paid')",
    ],
)
async def test_a_name_that_is_taken_is_told_whatever_has_it(shared_url: str, made: str) -> None:
    await execute(shared_url, "CREATE SCHEMA flashsale")
    await execute(shared_url, made)
    async with open_ledger(shared_url) as ledger:
        with pytest.raises(SchemaRefused, match="schema flashsale has a table orders of another"):
            await ledger.migrate()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_can_not_store_every_name_is_refused(
    postgres_server: PostgresServer, encoding: str
) -> None:
    name = unique("encoded")
    postgres_server.run_sql(
        f'CREATE DATABASE "{name}" ENCODING {encoding} LC_COLLATE "C" LC_CTYPE "C"'
        " TEMPLATE template0"
    )
    line = one_line(flashsale("migrate", database_url=postgres_server.url(name)))
    assert f"has the encoding {encoding}" in line


async def test_rows_that_row_security_hides_are_not_taken_for_no_rows(
    shared_url: str, postgres_server: PostgresServer
) -> None:
    """Else the books of nothing would balance."""
    role = unique("guest").replace("-", "_")
    postgres_server.run_sql(f"CREATE ROLE {role} LOGIN")
    url = make_url(shared_url).set(username=role).render_as_string()
    async with open_ledger(shared_url) as ledger, open_ledger(url) as guest:
        await ledger.migrate()
        for statement in (
            f"GRANT USAGE ON SCHEMA flashsale TO {role}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA flashsale TO {role}",
            "ALTER TABLE flashsale.sales ENABLE ROW LEVEL SECURITY",
        ):
            await execute(shared_url, statement)
        await ledger.verify_schema()  # the owner sees everything
        with pytest.raises(SchemaRefused, match="row security hides rows of table"):
            await guest.verify_schema()
        await execute(shared_url, "ALTER TABLE flashsale.sales DISABLE ROW LEVEL SECURITY")
        await guest.verify_schema()


@pytest.mark.parametrize(
    ("setting", "advice"),
    [
        ("default_transaction_read_only = on", "target_session_attrs=read-write"),
        ("statement_timeout = '1ms'", "statement_timeout that is too short"),
    ],
)
async def test_a_setting_of_the_database_that_stops_us_is_named(
    shared_url: str, setting: str, advice: str
) -> None:
    """Not as `no database`, since there is one."""
    database = make_url(shared_url).database
    await execute(shared_url, f'ALTER DATABASE "{database}" SET {setting}')
    async with open_ledger(shared_url) as ledger:
        with pytest.raises(StatementRefused, match=advice):
            await ledger.migrate()
    line = one_line(flashsale("migrate", database_url=shared_url))
    assert line.startswith("flashsale: the database at FLASHSALE_DATABASE_URL refuses: ")


async def test_a_stricter_default_isolation_makes_no_service_fail(shared_url: str) -> None:
    """Two services that give points to one customer would disturb each other."""
    assert loyalty.tables is not None
    database = make_url(shared_url).database
    await execute(
        shared_url, f'ALTER DATABASE "{database}" SET default_transaction_isolation = serializable'
    )
    async with open_ledger(shared_url) as ledger, open_ledger(shared_url) as other:
        await ledger.migrate()
        await ledger.effects.create_tables(loyalty.tables)

        async def give(store: Ledger) -> None:
            for _ in range(40):
                effects = Effects(event := random_order_id(), event)
                effects.run(
                    "INSERT INTO loyalty VALUES (:customer, 10) ON CONFLICT (customer_id)"
                    " DO UPDATE SET points = loyalty.points + 10",
                    customer="ann",
                )
                await store.effects.take_effect("loyalty", [effects])

        async with asyncio.TaskGroup() as services:
            services.create_task(give(ledger))
            services.create_task(give(other))
        async with draining(ledger) as sink:
            await ledger.create_sale(Sale("tv", 5))
            await sink.sell([an_order()], NOW)
        assert (await ledger.audit()).wrong == ()
    [(points,)] = await rows(shared_url, "SELECT points FROM flashsale.loyalty")
    assert points == 800
