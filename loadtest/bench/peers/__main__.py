"""`python -m loadtest.bench.peers`: measure all, in turns, on servers of their own."""

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

from loadtest.bench.peers.accepting import ENTRANTS, Accepted, take_turn
from loadtest.bench.peers.arena import Arena
from loadtest.bench.peers.chart import draw
from loadtest.bench.peers.contestants import DRAINING
from loadtest.bench.peers.draining import Drained, drain
from loadtest.bench.peers.figures import Drains, Rounds, figures
from loadtest.bench.peers.report import print_report
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
    parser.add_argument("--rounds", type=int, default=5, help="of taking orders (default: 5)")
    parser.add_argument(
        "--drains", type=int, default=2, help="of draining, twice as long (default: 2)"
    )
    parser.add_argument("--seconds", type=int, default=3, help="of each loop (default: 3)")
    arguments = parser.parse_args()
    # Load, servers and whoever is measured share two cores, also where there are more.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CORES])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # Durable, as a shop's would be.
        arena = Arena(stack.enter_context(rabbitmq()), stack.enter_context(postgres()), folder)
        asyncio.run(arena.prepare())
        rounds = accept_in_turns(arena, folder, arguments.rounds, arguments.seconds)
        drains = drain_in_turns(arena, folder, arguments.drains, 2 * arguments.seconds)
        ran_on = _ran_on(arena)
    found = figures(rounds, drains)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench-peers.json").write_text(json.dumps(found, indent=2) + "\n")
    draw(found, drains[-1], RESULTS / "bench-peers.png")
    print_report(found, ran_on)


def accept_in_turns(arena: Arena, folder: Path, rounds: int, seconds: int) -> Rounds:
    """Each takes orders once a round, another one first each time."""
    found: list[dict[str, Accepted]] = []
    for number in track(range(rounds), "accepting"):
        turns = rotated(ENTRANTS, number)
        found.append({one.name: take_turn(arena, one, folder, seconds) for one in turns})
    return found


def drain_in_turns(arena: Arena, folder: Path, rounds: int, seconds: int) -> Drains:
    """Each drains a backlog once a round, another one first each time."""
    order = folder / "order.lua"
    order.write_text(ORDER)
    found: list[dict[str, Drained]] = []
    for number in track(range(rounds), "draining"):
        turns = rotated(DRAINING, number)
        found.append({one.name: drain(arena, one, order, seconds) for one in turns})
    return found


def rotated(turns: Sequence[T], number: int) -> list[T]:
    """The same turns, beginning with that one."""
    first = number % len(turns)
    return [*turns[first:], *turns[:first]]


def _ran_on(arena: Arena) -> str:
    known = asyncio.run(arena.versions()) | versions(*_PACKAGES)
    named = ", ".join(f"{name} {number}" for name, number in known.items())
    return f"{datetime.now(UTC):%Y-%m-%d}, {machine()}; {named}"


if __name__ == "__main__":
    main()
