"""`make bench-holds`: measure what holds cost, on private servers."""

import argparse
import json
from dataclasses import asdict

from loadtest.bench.holds.expiry import measure_expiry
from loadtest.bench.holds.memory import memory
from loadtest.bench.holds.rates import measure_rates
from loadtest.bench.results import RESULTS, print_figures
from loadtest.bench.scale.testbed import open_testbed

_ENDING_BATCHES = 100


def main() -> None:
    """Measure, print a table, write bench-results/bench-holds.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="of intake (default: %(default)s)")
    parser.add_argument(
        "--orders", type=int, default=20_000, help="drained in each round (default: %(default)s)"
    )
    parser.add_argument(
        "--holds", type=int, default=100_000, help="open at once (default: %(default)s)"
    )
    parser.add_argument(
        "--batch", type=int, default=100, help="holds that end together (default: %(default)s)"
    )
    arguments = parser.parse_args()
    with open_testbed() as testbed:
        rates = measure_rates(testbed, arguments.rounds, arguments.seconds, arguments.orders)
        expiry = measure_expiry(testbed.server, arguments.holds, _ENDING_BATCHES, arguments.batch)
    figures = {**rates.figures(), **expiry, **asdict(memory())}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench-holds.json").write_text(json.dumps(figures, indent=2) + "\n")
    print_figures(figures)


if __name__ == "__main__":
    main()
