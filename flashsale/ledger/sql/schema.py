"""Upgrade and check the version of the tables.

Only an upgrade imports Alembic, which takes as long as all else that a process of ours imports
for the database.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import structlog
from sqlalchemy import Connection, MetaData, inspect, text

from flashsale.ledger.errors import SchemaOutdated, SchemaUnknown
from flashsale.ledger.sql.installation import (
    earlier_installation,
    is_ours,
    own_schema,
    prepare,
    require_create,
    require_read,
)

log = structlog.get_logger()

_MIGRATE_LOCK = 5_701_953_263
_VERSIONS = Path(__file__).parent / "migrations/versions"


def upgrade(connection: Connection, services: Sequence[MetaData] = ()) -> str:
    """Upgrade to the newest revision in the connection's transaction, and return it.

    On PostgreSQL, create our schema. Move the tables of a version that had none into it, and those
    of `services`. Raises `SchemaRefused` or `SchemaUnknown`.
    """
    from flashsale.ledger.sql.upgrade import upgrade_tables

    _lock(connection)
    if connection.dialect.name == "postgresql" and (moved := prepare(connection, services)):
        log.info("tables moved", to=own_schema(connection), tables=", ".join(moved))
    _require_known(connection, _recorded(connection))
    upgrade_tables(connection)
    return revisions()[-1]


def create_missing(connection: Connection, tables: MetaData) -> None:
    """Create the missing ones of a service's tables in the connection's transaction.

    Raises `SchemaRefused`.
    """
    _lock(connection)
    found = inspect(connection)
    if all(found.has_table(table.name, table.schema) for table in tables.tables.values()):
        return
    if connection.dialect.name == "postgresql":
        require_create(connection)
    tables.create_all(connection)


def verify(connection: Connection) -> None:
    """Raise `SchemaOutdated` or `SchemaUnknown` unless the tables are at the newest revision.

    Raises `SchemaRefused` if the role may not read them.
    """
    current = _current(connection)
    _require_known(connection, (current,) if current else ())
    if current != (newest := revisions()[-1]):
        raise SchemaOutdated(
            f"the database is at revision {current or 'none'}, this version needs {newest}"
        )


@cache
def revisions() -> list[str]:
    """Return the revisions that this version has files of, the newest last."""
    return sorted(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*.py"))


def _require_known(connection: Connection, found: Sequence[str]) -> None:
    """Raise `SchemaUnknown` if this version can't upgrade from these revisions."""
    if unknown := sorted(set(found).difference(revisions())):
        raise SchemaUnknown(
            f"the database is at revision {', '.join(unknown)}, which this version does not know:"
            " it is of a later version, so run that one"
        )
    if not found and inspect(connection).has_table("drain_leases"):
        raise SchemaUnknown(
            "the tables are there, but the table alembic_version does not say of which version"
            " they are: restore it from a backup"
        )


def _current(connection: Connection) -> str | None:
    if connection.dialect.name == "postgresql":
        require_read(connection)
    if connection.dialect.name != "postgresql" or is_ours(connection, own_schema(connection)):
        return ", ".join(_recorded(connection)) or None
    earlier = earlier_installation(connection)
    return earlier.revision if earlier else None


def _recorded(connection: Connection) -> Sequence[str]:
    """Return the revisions that the database is at: one, or none without our tables."""
    if not inspect(connection).has_table("alembic_version"):
        return ()
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()


def _lock(connection: Connection) -> None:
    # Concurrent processes wait here, and then find nothing to do.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATE_LOCK})
