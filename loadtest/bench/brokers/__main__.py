"""`python -m loadtest.bench.brokers`: measure all queues in turns, on private servers."""

import argparse
import logging
import os

import msgspec
import structlog
import uvloop
from rich.console import Console

from loadtest.bench.brokers.chart import draw
from loadtest.bench.brokers.contenders import CONTENDERS
from loadtest.bench.brokers.results import markdown, summarized, table
from loadtest.bench.brokers.turns import measure_all
from loadtest.bench.results import RESULTS
from loadtest.measure.machine import machine

_CORES = 2
_WIDTH = 200


def main() -> None:
    """Measure, print a table, write bench-results/bench-brokers.json, .md and .png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--seconds", type=float, default=2, help="of each closed loop (default: 2)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names, such as redis_always")
    arguments = parser.parse_args()
    names = [one.name for one in CONTENDERS]
    if unknown := set(arguments.only or ()) - set(names):
        parser.error(f"no queue is called {', '.join(unknown)}; there are {', '.join(names)}")
    # Servers that are killed on purpose are no news.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.ERROR)
    # Load and server share two cores, on larger machines as well.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CORES])
    busy = os.getloadavg()[0]
    chosen = [one for one in CONTENDERS if one.name in (arguments.only or names)]
    turns, once = uvloop.run(measure_all(chosen, arguments.rounds, arguments.seconds))
    figures = summarized(chosen, turns, once)
    RESULTS.mkdir(exist_ok=True)
    written = msgspec.json.format(msgspec.json.encode(figures))
    (RESULTS / "bench-brokers.json").write_bytes(written + b"\n")
    (RESULTS / "bench-brokers.md").write_text(markdown(figures))
    draw(figures, RESULTS / "bench-brokers.png")
    console = Console()
    Console(width=max(_WIDTH, console.width)).print(table(figures))
    console.print(f"{machine()}; load average of the machine before: {busy:.1f}")
    missing = sum(turn.spike.missing for rounds in turns.values() for turn in rounds)
    console.print(f"confirmed orders that did not come out of their queues: {missing}")


if __name__ == "__main__":
    main()
