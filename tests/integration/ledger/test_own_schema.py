"""A database that is not ours alone: our tables are in a schema of their own."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, make_url

from flashsale.domain.sales import Sale
from flashsale.ledger import Effects, SchemaOutdated, SchemaRefused, open_ledger
from loadtest.servers import PgBouncer, PostgresServer, pgbouncer
from tests.conftest import an_order, draining, unique
from tests.database import execute, rows
from tests.integration.cli.test_cli import flashsale, one_line
from tests.integration.ledger.test_migrations import NOW, SENT, UNSENT, at_revision, filled

SHOP = (
    "CREATE TABLE orders (id serial PRIMARY KEY, total integer NOT NULL)",
    "CREATE TABLE sales (sku text PRIMARY KEY)",
    "CREATE TABLE outbox (id integer)",
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('0003')",
    "INSERT INTO orders (total) VALUES (100)",
)


@pytest.fixture
def shared_url(postgres_server: PostgresServer) -> str:
    """A database of the test's own server, where tests may create roles."""
    return postgres_server.create_database(unique("shared"))


@pytest.fixture
async def shop_url(shared_url: str) -> str:
    """A database with tables of the shop, whose names and revision are as ours."""
    for statement in SHOP:
        await execute(shared_url, statement)
    return shared_url


@pytest.fixture
async def transaction_pooler(postgres_server: PostgresServer) -> AsyncIterator[PgBouncer]:
    with pgbouncer(postgres_server.url(), "transaction") as pooler:
        yield pooler


async def tables_of(url: str, schema: str) -> set[str]:
    found = await rows(
        url, "SELECT tablename FROM pg_tables WHERE schemaname = :schema", schema=schema
    )
    return {row.tablename for row in found}


async def test_tables_of_a_shop_are_not_taken_for_ours(shop_url: str) -> None:
    async with open_ledger(shop_url) as ledger:
        with pytest.raises(SchemaOutdated, match="at revision none"):
            await ledger.verify_schema()
        await ledger.migrate()
        await ledger.migrate()
        await ledger.verify_schema()
        await ledger.create_sale(Sale("tv", 5))
        async with draining(ledger) as sink:
            await sink.sell([an_order()], NOW)
        assert (await ledger.audit()).wrong == ()
    shops = {"orders", "sales", "outbox", "alembic_version"}
    assert await tables_of(shop_url, "public") == shops
    assert shops < await tables_of(shop_url, "flashsale")
    assert [tuple(row) for row in await rows(shop_url, "SELECT * FROM public.orders")] == [(1, 100)]
    [(revision,)] = await rows(shop_url, "SELECT version_num FROM public.alembic_version")
    assert revision == "0003"


@pytest.mark.parametrize("revision", ["0001", "0003", "0004"])
async def test_an_earlier_installation_moves_with_its_data(shared_url: str, revision: str) -> None:
    await at_revision(shared_url, "0001")
    await filled(shared_url, "0001")
    await at_revision(shared_url, revision)
    await execute(shared_url, "CREATE TABLE customers (id integer)")
    await execute(shared_url, "CREATE TABLE invoices (order_id text, cents integer)")
    await execute(shared_url, "INSERT INTO invoices VALUES (:id, 9)", id=SENT.id)
    await execute(shared_url, "CREATE TABLE letters (theirs text)")
    own = MetaData()
    Table("invoices", own, Column("order_id", String), Column("cents", Integer))
    Table("letters", own, Column("order_id", String))
    async with open_ledger(shared_url) as ledger:
        with pytest.raises(SchemaOutdated, match=f"at revision {revision}"):
            await ledger.verify_schema()
        await ledger.migrate([own])
        await ledger.verify_schema()
        await ledger.effects.create_tables(own)
        assert (await ledger.audit()).wrong == ()
        [sale] = await ledger.sales()
        assert (sale.sku, sale.sold) == ("tv", 2)
        assert set(await ledger.outcomes("tv")) == {SENT.id, UNSENT.id}
    assert await tables_of(shared_url, "public") == {"customers", "letters"}
    moved = await tables_of(shared_url, "flashsale")
    assert {"alembic_version", "outbox", "loyalty", "invoices", "letters"} < moved
    [(cents,)] = await rows(shared_url, "SELECT cents FROM flashsale.invoices")
    assert cents == 9


async def test_an_earlier_installation_of_an_unknown_revision_is_refused(shared_url: str) -> None:
    await at_revision(shared_url, "0004")
    await execute(shared_url, "UPDATE alembic_version SET version_num = '4711'")
    async with open_ledger(shared_url) as ledger:
        with pytest.raises(SchemaRefused, match="alembic_version has 4711"):
            await ledger.migrate()
    assert "orders" in await tables_of(shared_url, "public")


async def test_a_schema_with_tables_of_another_program_is_refused(shop_url: str) -> None:
    async with open_ledger(shop_url, "public") as ledger:
        with pytest.raises(SchemaOutdated, match="at revision none"):
            await ledger.verify_schema()
        with pytest.raises(SchemaRefused, match="of another program: choose another schema"):
            await ledger.migrate()


async def test_services_find_their_tables_also_behind_a_pooler(
    shop_url: str, transaction_pooler: PgBouncer
) -> None:
    # The shop has a table of the same name.
    await execute(shop_url, "CREATE TABLE loyalty (customer_id text, points integer)")
    statement = (
        "INSERT INTO loyalty (customer_id, points) VALUES (:customer, 10)"
        " ON CONFLICT (customer_id) DO UPDATE SET points = loyalty.points + excluded.points"
    )
    for url in (shop_url, transaction_pooler.url(shop_url)):
        async with open_ledger(url) as ledger:
            await ledger.migrate()
            event = an_order()
            effects = Effects(event.id, event.id)
            effects.run(statement, customer="ann")
            assert await ledger.effects.take_effect("loyalty", [effects]) == 1
            assert await ledger.effects.done("loyalty", [event.id]) == {event.id}
    [(points,)] = await rows(shop_url, "SELECT points FROM flashsale.loyalty")
    assert points == 20
    assert await rows(shop_url, "SELECT * FROM public.loyalty") == []


async def test_advice_for_a_role_without_rights_is_true(
    shared_url: str, postgres_server: PostgresServer, rabbit_url: str
) -> None:
    """What the one line says is run word by word, and helps."""
    database = make_url(shared_url).database
    assert database is not None
    role = unique("shop").replace("-", "_")
    postgres_server.run_sql(f"CREATE ROLE {role} LOGIN")
    url = make_url(shared_url).set(username=role).render_as_string()

    def refused(*command: str) -> str:
        return one_line(flashsale(*command, database_url=url, broker_url=rabbit_url))

    def follow(line: str) -> None:
        _, statement, _ = line.split("`")
        postgres_server.run_sql(statement, database)

    line = refused("migrate")
    assert f"CREATE SCHEMA flashsale AUTHORIZATION {role}" in line
    postgres_server.run_sql("CREATE SCHEMA flashsale", database)
    line = refused("migrate")
    assert f"GRANT USAGE, CREATE ON SCHEMA flashsale TO {role}" in line
    postgres_server.run_sql("DROP SCHEMA flashsale", database)
    follow(f"`CREATE SCHEMA flashsale AUTHORIZATION {role}`")
    assert "the database is at revision" in flashsale("migrate", database_url=url).stdout

    other = f"{role}_2"
    postgres_server.run_sql(f"CREATE ROLE {other} LOGIN")
    url = make_url(shared_url).set(username=other).render_as_string()
    line = refused("check")
    assert f"GRANT USAGE ON SCHEMA flashsale TO {other}" in line
    follow(line)
    line = refused("check")
    assert "ON ALL TABLES IN SCHEMA flashsale" in line
    follow(line)
    assert "the books balance" in flashsale("check", database_url=url).stdout
