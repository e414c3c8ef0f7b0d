"""Servers for scenarios, and the table at the end."""

import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtest.servers import PostgresServer, RabbitNode, ServerNotFound, postgres, rabbitmq
from tests.faults.linked import LinkedCluster, linked_cluster
from tests.faults.scenario import Row, Scenario
from tests.processes import prepare

_COLUMNS = (
    *("fault", "seed", "offered", "accepted", "confirmed"),
    *("without service", "nothing decided", "lost", "doubled"),
)
_SMALL_DISK = "400m"


@pytest.fixture(scope="session")
def broken_database() -> Iterator[PostgresServer]:
    """A cluster that scenarios break and mend."""
    try:
        with postgres(fsync="off", max_connections="200") as server:
            yield server
    except ServerNotFound as error:
        pytest.skip(str(error))


@contextmanager
def small_disk() -> Iterator[None]:
    """Have what makes temporary folders make them on a small disk of their own."""
    prepare()  # its folder is to outlive the disk
    folder = Path(tempfile.mkdtemp(prefix="flashsale-disk-"))
    folder.chmod(0o755)  # the database is another user's
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK},mode=1777", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    try:
        if mounted.returncode:
            pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
        before, tempfile.tempdir = tempfile.tempdir, str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = before
    finally:
        if not mounted.returncode:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@pytest.fixture
async def servers_of_scenario(
    request: pytest.FixtureRequest,
) -> AsyncIterator[tuple[RabbitNode | LinkedCluster, PostgresServer]]:
    """The servers of a scenario: its own, if they are a cluster or to have small disks."""
    scenario: Scenario = request.getfixturevalue("scenario")
    try:
        if scenario.cluster:
            database = request.getfixturevalue("broken_database")
            async with linked_cluster() as cluster:
                yield cluster, database
        elif scenario.small_disk:
            with small_disk(), rabbitmq() as node, small_disk(), postgres(fsync="off") as database:
                yield node, database
        else:
            yield request.getfixturevalue("node"), request.getfixturevalue("broken_database")
    except ServerNotFound as error:
        pytest.skip(str(error))


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
            f"{row.standing:.1f} s",
            str(row.lost),
            str(row.doubled),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *lines, strict=True)]
    for line in (_COLUMNS, *lines):
        name, *rest = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        terminalreporter.write_line(" | ".join([name, *rest]))
