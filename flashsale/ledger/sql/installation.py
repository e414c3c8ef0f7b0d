"""The schema of our own in a PostgreSQL database, and the move into it from an earlier version.

Version 0.1.0 created its tables in the schema where PostgreSQL looks first, most often `public`,
beside the tables of other programs.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, MetaData, text

from flashsale.ledger.errors import SchemaRefused
from flashsale.ledger.sql.tables import metadata

VERSION_TABLE = "alembic_version"

_REVISIONS_BEFORE = ("0001", "0002", "0003", "0004")
# Not those of `metadata`: another program may have a table with the name of a later one.
_TABLES_BEFORE = ("sales", "orders", "outbox", "outbox_pruned", "effects", "secrets")
_SERVICE_TABLES_BEFORE = ("loyalty", "ranking")  # created by revision 0002

_OF_LATER_VERSIONS = "drain_leases"  # created by revision 0005, when each got its own schema

# No other program has these.
_CONSTRAINTS = ("sales_never_oversold", "orders_status_known", "orders_decided_whole")

_OURS = text(
    "SELECT count(*) = :number FROM pg_constraint AS made"
    " JOIN pg_class AS home ON home.oid = made.conrelid"
    " WHERE home.relnamespace = to_regnamespace(quote_ident(:schema))"
    " AND home.relname = split_part(made.conname, '_', 1) AND made.conname = ANY(:names)"
)
_TABLES = text(
    "SELECT relname, pg_has_role(relowner, 'USAGE') AS own FROM pg_class"
    " WHERE relnamespace = to_regnamespace(quote_ident(:schema)) AND relkind IN ('r', 'p')"
)


@dataclass(frozen=True)
class Installation:
    """The tables of an earlier version in a schema that is not ours alone."""

    schema: str
    revision: str


def own_schema(connection: Connection) -> str:
    """Return the schema in which the connection finds its tables."""
    return str(connection.scalar(text("SELECT (parse_ident(current_setting('search_path')))[1]")))


def is_ours(connection: Connection, schema: str) -> bool:
    """Return whether the tables of some version of ours are in the schema."""
    values = {"schema": schema, "names": list(_CONSTRAINTS), "number": len(_CONSTRAINTS)}
    return bool(connection.scalar(_OURS, values))


def earlier_installation(connection: Connection) -> Installation | None:
    """Return the installation of an earlier version outside of our schema, None without one.

    One of a version that has a schema of its own stays where it is, as it is another installation.
    Raises `SchemaRefused` if the revision is unknown.
    """
    own = own_schema(connection)
    with _default_search_path(connection, own):
        schemas = connection.scalar(text("SELECT current_schemas(false)")) or []
    for schema in schemas:
        if schema != own and is_ours(connection, schema) and not _is_later(connection, schema):
            version = f"{quoted(connection, schema)}.{VERSION_TABLE}"
            found = connection.scalars(text(f"SELECT version_num FROM {version}")).all()  # noqa: S608
            if len(found) != 1 or found[0] not in _REVISIONS_BEFORE:
                raise SchemaRefused(
                    f"schema {schema} has tables of an earlier version, but its {VERSION_TABLE}"
                    f" has {', '.join(found) or 'no row'} instead of one of"
                    f" {', '.join(_REVISIONS_BEFORE)}"
                )
            return Installation(schema, found[0])
    return None


def _is_later(connection: Connection, schema: str) -> bool:
    return _OF_LATER_VERSIONS in _relations(connection, schema)


def prepare(connection: Connection, services: Iterable[MetaData]) -> list[str]:
    """Create our schema, and move an earlier installation into it; return the moved tables.

    Tables of services move if they have the columns that `services` declare. Raises
    `SchemaRefused`.
    """
    own = own_schema(connection)
    if is_ours(connection, own):
        return []
    earlier = earlier_installation(connection)
    _create_schema(connection, own)
    if taken := sorted(_relations(connection, own) & {*metadata.tables, VERSION_TABLE}):
        raise SchemaRefused(
            f"schema {own} has a table {taken[0]} of another program: choose another schema by"
            " FLASHSALE_DATABASE_SCHEMA"
        )
    if earlier is None:
        _require_unicode(connection)
    return [] if earlier is None else _move(connection, earlier, own, services)


def require_create(connection: Connection) -> None:
    """Raise `SchemaRefused` unless the role may create tables in our schema."""
    own = own_schema(connection)
    allowed = connection.scalar(
        text(
            "SELECT has_schema_privilege(quote_ident(:own), 'USAGE')"
            " AND has_schema_privilege(quote_ident(:own), 'CREATE')"
        ),
        {"own": own},
    )
    if not allowed:
        role = _role(connection)
        raise SchemaRefused(
            f"role {role} may not create tables in schema {own}: as the owner of the schema, run"
            f" `GRANT USAGE, CREATE ON SCHEMA {quoted(connection, own)} TO {role}`"
        )


def require_read(connection: Connection) -> None:
    """Raise `SchemaRefused` unless the role may read the tables in our schema."""
    own = own_schema(connection)
    values = {"own": own, "names": [*metadata.tables, VERSION_TABLE]}
    usable = connection.scalar(
        text("SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = :own"),
        values,
    )
    ours = (
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(:own))"
        " AND relkind IN ('r', 'p') AND relname = ANY(:names) AND {} ORDER BY relname LIMIT 1"
    )
    hidden = connection.scalar(text(ours.format("NOT has_table_privilege(oid, 'SELECT')")), values)
    filtered = connection.scalar(text(ours.format("row_security_active(oid)")), values)
    role, schema = _role(connection), quoted(connection, own)
    if usable is False:
        raise SchemaRefused(
            f"role {role} may not use schema {own}: as the owner of the schema, run"
            f" `GRANT USAGE ON SCHEMA {schema} TO {role}`"
        )
    if hidden is not None:
        raise SchemaRefused(
            f"role {role} may not read table {own}.{hidden}: as the owner of the tables, run"
            " `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA"
            f" {schema} TO {role}`"
        )
    if filtered is not None:
        raise SchemaRefused(
            f"row security hides rows of table {own}.{filtered} from role {role}: as the owner of"
            f" the table, run `ALTER TABLE {schema}.{filtered} DISABLE ROW LEVEL SECURITY`"
        )


def quoted(connection: Connection, name: str) -> str:
    """Return the name as an SQL identifier."""
    return connection.dialect.identifier_preparer.quote(name)


def _create_schema(connection: Connection, own: str) -> None:
    exists = connection.scalar(
        text("SELECT count(*) FROM pg_namespace WHERE nspname = :own"), {"own": own}
    )
    if exists:
        require_create(connection)
        return
    if not connection.scalar(text("SELECT has_database_privilege(current_database(), 'CREATE')")):
        role = _role(connection)
        raise SchemaRefused(
            f"role {role} may not create schema {own}: as the owner of the database, run"
            f" `CREATE SCHEMA {quoted(connection, own)} AUTHORIZATION {role}`"
        )
    connection.execute(text(f"CREATE SCHEMA {quoted(connection, own)}"))


def _move(
    connection: Connection, earlier: Installation, own: str, services: Iterable[MetaData]
) -> list[str]:
    owned = {
        row.relname: row.own for row in connection.execute(_TABLES, {"schema": earlier.schema})
    }
    names = {*_TABLES_BEFORE, VERSION_TABLE}
    if earlier.revision != "0001":
        names.update(_SERVICE_TABLES_BEFORE)
    names &= owned.keys()
    if foreign := sorted(name for name in names if not owned[name]):
        raise SchemaRefused(
            f"role {_role(connection)} does not own table {earlier.schema}.{foreign[0]}, which"
            f" moves to schema {own}: run `flashsale migrate` as the owner"
        )
    for tables in services:
        names.update(
            table.name
            for table in tables.tables.values()
            if table.schema is None
            and owned.get(table.name)
            and _columns(connection, earlier.schema, table.name) == {*table.columns.keys()}
        )
    old, new = quoted(connection, earlier.schema), quoted(connection, own)
    for name in sorted(names):
        # With its data, indexes, constraints and rights.
        connection.execute(text(f"ALTER TABLE {old}.{quoted(connection, name)} SET SCHEMA {new}"))
    return [f"{earlier.schema}.{name}" for name in sorted(names)]


def _relations(connection: Connection, schema: str) -> set[str]:
    """Return the names that a new table can't have: of tables, views, sequences and types."""
    found = connection.scalars(
        text(
            "SELECT typname FROM pg_type WHERE typnamespace = to_regnamespace(quote_ident(:schema))"
            " UNION SELECT relname FROM pg_class"
            " WHERE relnamespace = to_regnamespace(quote_ident(:schema))"
        ),
        {"schema": schema},
    )
    return set(found)


def _require_unicode(connection: Connection) -> None:
    """Raise `SchemaRefused` if the database can't store the customer id of everybody."""
    encoding = connection.scalar(text("SELECT current_setting('server_encoding')"))
    if encoding != "UTF8":
        raise SchemaRefused(
            f"the database has the encoding {encoding}, which can't store every name: use one that"
            " was made by `CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0`"
        )


def _columns(connection: Connection, schema: str, table: str) -> set[str]:
    found = connection.scalars(
        text(
            "SELECT attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " WHERE relnamespace = to_regnamespace(quote_ident(:schema)) AND relname = :table"
            " AND attnum > 0 AND NOT attisdropped"
        ),
        {"schema": schema, "table": table},
    )
    return set(found)


@contextmanager
def _default_search_path(connection: Connection, own: str) -> Iterator[None]:
    """Look for tables where the role does by default, for a moment."""
    connection.execute(text("SET LOCAL search_path TO DEFAULT"))
    yield
    connection.execute(
        text("SELECT set_config('search_path', quote_ident(:own), true)"), {"own": own}
    )


def _role(connection: Connection) -> str:
    return str(connection.scalar(text("SELECT quote_ident(current_user)")))
