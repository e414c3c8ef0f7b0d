"""Servers for scenarios, and the table at the end."""

import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from loadtest import watchdog
from loadtest.servers import PostgresServer, RabbitNode, ServerNotFound, postgres, rabbitmq
from tests.faults.image_disk import NoImageDisk, image_disk, temporary_files_in
from tests.faults.linked import LinkedCluster, linked_cluster
from tests.faults.scenario import SEEDS, Row, Scenario

_COLUMNS = (
    *("fault", "seed", "offered", "accepted", "confirmed"),
    *("without service", "nothing decided", "lost", "doubled"),
)
_COLUMNS_OF_CUTS = ("what had acknowledged when the power was cut", "seed", "acknowledged", "lost")
_SMALL_DISK = "400m"
# So that the rate is judged by the database's own record of its commits, too.
_OBSERVED = {"track_commit_timestamp": "on"}

# `make faults` plays them: a broker takes seconds to start, twice.
collect_ignore = [] if SEEDS else ["test_power_cut.py"]


@pytest.fixture(scope="session")
def broken_database() -> Iterator[PostgresServer]:
    """A cluster that scenarios break and mend."""
    try:
        with postgres(fsync="off", max_connections="200", **_OBSERVED) as server:
            yield server
    except ServerNotFound as error:
        pytest.skip(str(error))


@contextmanager
def small_disk() -> Iterator[None]:
    """Have what makes temporary folders make them on a small disk of their own."""
    folder = Path(tempfile.mkdtemp(prefix="flashsale-disk-"))
    watchdog.discard(folder)
    folder.chmod(0o755)  # the database is another user's
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK},mode=1777", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    try:
        if mounted.returncode:
            pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
        with temporary_files_in(folder):
            yield
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
            with ExitStack() as exits:
                exits.enter_context(small_disk())
                node = exits.enter_context(rabbitmq())
                exits.enter_context(small_disk())
                yield node, exits.enter_context(postgres(fsync="off", **_OBSERVED))
        elif scenario.image_disks:
            with on_image_disks() as servers:
                yield servers
        else:
            yield request.getfixturevalue("node"), request.getfixturevalue("broken_database")
    except (ServerNotFound, NoImageDisk) as error:
        pytest.skip(str(error))


@contextmanager
def on_image_disks() -> Iterator[tuple[RabbitNode, PostgresServer]]:
    """Run a broker and a database, each on a disk whose power can be cut.

    What they wrote when they were made is on the disks, as if they had run for a while.
    """
    with ExitStack() as exits:
        node_disk, database_disk = (exits.enter_context(image_disk()) for _ in range(2))
        with temporary_files_in(node_disk.files):
            node = exits.enter_context(rabbitmq())
        with temporary_files_in(database_disk.files):
            database = exits.enter_context(postgres(**_OBSERVED))
        node_disk.sync()
        database_disk.sync()
        yield node, database


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what came of each scenario, and of each power cut."""
    found = [each for r in terminalreporter.getreports("passed") for each in r.user_properties]
    rows = [Row(*value) for key, value in found if key == "fault"]
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
    _print(terminalreporter, "faults", _COLUMNS, lines)
    cuts = [tuple(map(str, value)) for key, value in found if key == "power cut"]
    _print(terminalreporter, "power cuts", _COLUMNS_OF_CUTS, cuts)


def _print(
    to: pytest.TerminalReporter,
    title: str,
    columns: tuple[str, ...],
    lines: Sequence[tuple[str, ...]],
) -> None:
    if not lines:
        return
    to.section(title)
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    for line in (columns, *lines):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        to.write_line(" | ".join(cells))
