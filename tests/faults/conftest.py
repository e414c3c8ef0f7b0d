"""Servers for scenarios, and the table at the end."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from loadtest.servers import PostgresServer, RabbitNode, ServerNotFound, postgres, rabbitmq
from tests.faults.linked import LinkedCluster, linked_cluster
from tests.faults.scenario import Row, Scenario

_COLUMNS = "fault", "seed", "offered", "accepted", "confirmed", "without service", "lost", "doubled"


@pytest.fixture(scope="session")
def broken_node() -> Iterator[RabbitNode]:
    """A node that scenarios break and mend."""
    try:
        with rabbitmq() as node:
            yield node
    except ServerNotFound as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def broken_database() -> Iterator[PostgresServer]:
    """A cluster that scenarios break and mend."""
    try:
        with postgres(fsync="off", max_connections="200") as server:
            yield server
    except ServerNotFound as error:
        pytest.skip(str(error))


@pytest.fixture
async def servers_of_scenario(
    request: pytest.FixtureRequest,
) -> AsyncIterator[tuple[RabbitNode | LinkedCluster, PostgresServer]]:
    """The servers of a scenario: its own, if it leaves them unusable or wants a cluster."""
    scenario: Scenario = request.getfixturevalue("scenario")
    if scenario.cluster:
        database = request.getfixturevalue("broken_database")
        try:
            async with linked_cluster() as cluster:
                yield cluster, database
        except ServerNotFound as error:
            pytest.skip(str(error))
    elif scenario.own_servers:
        with ExitStack() as exits:
            yield exits.enter_context(rabbitmq()), exits.enter_context(postgres(fsync="off"))
    else:
        node = request.getfixturevalue("broken_node")
        yield node, request.getfixturevalue("broken_database")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what came of each scenario."""
    rows = [
        Row(*value)
        for report in terminalreporter.getreports("passed")
        for key, value in report.user_properties
        if key == "fault"
    ]
    if not rows:
        return
    terminalreporter.section("faults")
    lines = [
        (
            row.name,
            *map(str, (row.seed, row.offered, row.accepted, row.confirmed)),
            f"{row.without_service:.1f} s",
            str(row.lost),
            str(row.doubled),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *lines, strict=True)]
    for line in (_COLUMNS, *lines):
        name, *rest = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        terminalreporter.write_line(" | ".join([name, *rest]))
