"""Upgrade and check the version of the tables, with Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text

from flashsale.ledger.errors import SchemaOutdated

_MIGRATE_LOCK = 5_701_953_263


def upgrade(connection: Connection) -> str:
    """Upgrade to the newest revision in the connection's transaction, and return it."""
    _lock(connection)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return _newest()


def create_missing(connection: Connection, tables: MetaData) -> None:
    """Create the missing ones of a service's tables in the connection's transaction."""
    _lock(connection)
    tables.create_all(connection)


def verify(connection: Connection) -> None:
    """Raise `SchemaOutdated` unless the tables are at the newest revision."""
    current = MigrationContext.configure(connection).get_current_revision()
    if current != _newest():
        raise SchemaOutdated(
            f"the database is at revision {current or 'none'}, this version needs {_newest()}"
        )


def _lock(connection: Connection) -> None:
    # Concurrent processes wait here, and then find nothing to do.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATE_LOCK})


def _config() -> Config:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
    )
    config.set_main_option("path_separator", "os")
    return config


def _newest() -> str:
    return ScriptDirectory.from_config(_config()).get_current_head() or "none"
