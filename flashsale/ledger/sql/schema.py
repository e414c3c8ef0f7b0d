"""The tables' version, by Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text

from flashsale.ledger.errors import SchemaOutdated

_MIGRATE_LOCK = 5_701_953_263


def upgrade(connection: Connection) -> str:
    """Upgrade to the newest revision, inside the connection's transaction; the revision."""
    _take_turns(connection)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return _newest()


def create_missing(connection: Connection, tables: MetaData) -> None:
    """Create what is missing of tables that are not ours, inside the connection's transaction."""
    _take_turns(connection)
    tables.create_all(connection)


def verify(connection: Connection) -> None:
    """Raise `SchemaOutdated` unless the tables are at the newest revision."""
    current = MigrationContext.configure(connection).get_current_revision()
    if current != _newest():
        raise SchemaOutdated(
            f"the database is at revision {current or 'none'}, this version needs {_newest()}"
        )


def _take_turns(connection: Connection) -> None:
    # Of two at once, the second finds nothing to do.
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
