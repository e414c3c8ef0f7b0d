"""`python -m loadtest.bench.scale`: vary one parameter at a time, on private servers."""

import argparse
import json

from rich.console import Console

from loadtest.bench.results import RESULTS
from loadtest.bench.scale.backlog import measure_backlog
from loadtest.bench.scale.chart import draw
from loadtest.bench.scale.connections import measure_connections
from loadtest.bench.scale.figures import Row, flat, tables
from loadtest.bench.scale.gateways import measure_gateways, measure_workers
from loadtest.bench.scale.memory import measure_memory
from loadtest.bench.scale.skus import measure_skus
from loadtest.bench.scale.testbed import open_testbed

WORKERS = (1, 2)
GATEWAYS = (1, 2, 4, 8)
BACKLOGS = (1_000, 10_000, 100_000, 1_000_000)
SKUS = (1, 10, 100, 1_000)
CONNECTIONS = (0, 1_000, 10_000)
_CHUNK_SECONDS = 5


def main() -> None:
    """Measure, print tables, write bench-results/bench-scale.json and .png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of intake (default: 3)")
    parser.add_argument("--seconds", type=int, default=4, help="of each round (default: 4)")
    parser.add_argument(
        "--backlog", type=int, default=BACKLOGS[-1], help="largest backlog (default: 1000000)"
    )
    parser.add_argument(
        "--orders",
        type=int,
        default=1_000_000,
        help="orders for the measurement of memory (default: 1000000)",
    )
    arguments = parser.parse_args()
    rows, figures = measure(
        arguments.rounds,
        arguments.seconds,
        [count for count in BACKLOGS if count <= arguments.backlog],
        arguments.orders,
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench-scale.json").write_text(json.dumps(figures, indent=2) + "\n")
    draw(rows, RESULTS / "bench-scale.png")
    console = Console()
    for table in tables(rows):
        console.print(table)
    for name in ("gateway", "consumer"):
        grown = figures[f"{name}_rss_growth_mb"]
        console.print(f"{name}: {grown:+,} MB of memory from 20 % to 100 % of the orders")


def measure(
    rounds: int, seconds: int, backlogs: list[int], orders: int
) -> tuple[list[Row], dict[str, float]]:
    """Return all figures, as rows and as flat keys."""
    rows: list[Row] = []
    with open_testbed() as testbed:
        rows += measure_workers(testbed, WORKERS, rounds, seconds)
        rows += measure_gateways(testbed, GATEWAYS, rounds, seconds)
        rows += measure_skus(testbed, SKUS, seconds)
        rows += measure_connections(testbed, CONNECTIONS, seconds)
    with open_testbed() as testbed:  # a new broker, as its memory is measured
        rows += measure_backlog(testbed, backlogs, seconds)
    with open_testbed() as testbed:
        by_tenth, growths = measure_memory(testbed, orders, _CHUNK_SECONDS)
    rows += by_tenth
    return rows, flat(rows) | growths


if __name__ == "__main__":
    main()
