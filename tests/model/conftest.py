"""What a machine needs around it, and how fast it was."""

import asyncio
import random
from collections.abc import Iterator

import pytest
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

import gateway.intake.accept_order
from flashsale.ledger.sql.engines.sqlite import sqlite_engine
from flashsale.ledger.sql.schema import upgrade
from tests.model.books import SqlBooks
from tests.model.clock import injected
from tests.model.machine import CLOCK
from tests.model.shop import Shop


@pytest.fixture
def one_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No clock, no chance and no log of the product's own: nothing but the machine decides."""
    monkeypatch.setattr(gateway.intake.accept_order, "random_order_id", Shop.new_order_id)
    chance = random.getstate()
    logs = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    with injected(CLOCK):
        yield
    random.setstate(chance)
    if logs is None:
        structlog.reset_defaults()
    else:
        structlog.configure(**logs)


@pytest.fixture
def sql_books() -> Iterator[SqlBooks]:
    """The product's tables in SQLite's memory: what is called there is done at once."""
    engine = sqlite_engine("sqlite+aiosqlite:///:memory:")
    with asyncio.Runner() as runner:
        connection = runner.run(_migrated(engine))
        yield SqlBooks(connection)
        runner.run(connection.close())
        runner.run(engine.dispose())


async def _migrated(engine: AsyncEngine) -> AsyncConnection:
    connection = await engine.connect()
    await connection.run_sync(upgrade)
    await connection.commit()
    return connection


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many steps there were, and how many a second."""
    speeds = [
        str(value)
        for report in terminalreporter.getreports("passed")
        for key, value in report.user_properties
        if key == "machine"
    ]
    if speeds:
        terminalreporter.section("machine")
        for speed in speeds:
            terminalreporter.write_line(speed)
