"""`python -m loadtest.bench.peers`: measure all contestants in turns, on private servers."""

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from rich.progress import track

from loadtest.bench.peers.chart import draw
from loadtest.bench.peers.contestants import DRAINING
from loadtest.bench.peers.drain import DrainResult, drain
from loadtest.bench.peers.figures import Drains, Rounds, figures
from loadtest.bench.peers.intake import INTAKE_CASES, IntakeResult, take_turn
from loadtest.bench.peers.report import print_report
from loadtest.bench.peers.testbed import BenchTestbed
from loadtest.bench.results import RESULTS
from loadtest.load.closed_loop import ORDER
from loadtest.measure.machine import machine, versions
from loadtest.servers import postgres, rabbitmq

_CORES = 2
_PACKAGES = (
    *("aiohttp", "uvloop", "pika", "aio-pika", "fastapi", "uvicorn", "faststream"),
    *("celery", "asyncpg", "psycopg"),
)

T = TypeVar("T")


def main() -> None:
    """Measure, print tables, write bench-results/bench-peers.json and .png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of intake (default: 5)")
    parser.add_argument(
        "--drains", type=int, default=2, help="rounds of draining, twice as long (default: 2)"
    )
    parser.add_argument("--seconds", type=int, default=3, help="of each loop (default: 3)")
    arguments = parser.parse_args()
    # Load, servers and contestant share two cores, on larger machines as well.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CORES])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # Durable servers, as in production.
        testbed = BenchTestbed(
            stack.enter_context(rabbitmq()), stack.enter_context(postgres()), folder
        )
        asyncio.run(testbed.prepare())
        rounds = accept_in_turns(testbed, folder, arguments.rounds, arguments.seconds)
        drains = drain_in_turns(testbed, folder, arguments.drains, 2 * arguments.seconds)
        ran_on = _ran_on(testbed)
    found = figures(rounds, drains)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench-peers.json").write_text(json.dumps(found, indent=2) + "\n")
    draw(found, drains[-1], RESULTS / "bench-peers.png")
    print_report(found, ran_on)


def accept_in_turns(testbed: BenchTestbed, folder: Path, rounds: int, seconds: int) -> Rounds:
    """Measure the intake of every contestant once a round, starting with another one each time."""
    found: list[dict[str, IntakeResult]] = []
    for number in track(range(rounds), "accepting"):
        turns = rotated(INTAKE_CASES, number)
        found.append({one.name: take_turn(testbed, one, folder, seconds) for one in turns})
    return found


def drain_in_turns(testbed: BenchTestbed, folder: Path, rounds: int, seconds: int) -> Drains:
    """Measure the drain of every contestant once a round, starting with another one each time."""
    order = folder / "order.lua"
    order.write_text(ORDER)
    found: list[dict[str, DrainResult]] = []
    for number in track(range(rounds), "draining"):
        turns = rotated(DRAINING, number)
        found.append({one.name: drain(testbed, one, order, seconds) for one in turns})
    return found


def rotated(turns: Sequence[T], number: int) -> list[T]:
    """Return the turns in the same cyclic order, starting at index `number`."""
    first = number % len(turns)
    return [*turns[first:], *turns[:first]]


def _ran_on(testbed: BenchTestbed) -> str:
    known = asyncio.run(testbed.versions()) | versions(*_PACKAGES)
    named = ", ".join(f"{name} {number}" for name, number in known.items())
    return f"{datetime.now(UTC):%Y-%m-%d}, {machine()}; {named}"


if __name__ == "__main__":
    main()
