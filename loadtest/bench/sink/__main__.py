"""`make bench-sink`: measure the delivery of orders to a shop, by the shop's own clock."""

import argparse
import json
import random
import signal
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from rich.progress import track

from loadtest.bench.results import RESULTS, print_figures
from loadtest.bench.sink.shop import Behaviour, Seen
from loadtest.bench.sink.testbed import Testbed, testbed

_PACE = 2000
_UNPACED = {"FLASHSALE_DRAIN_RATE": "1000000", "FLASHSALE_DRAIN_BATCH": "500"}
_BATCHED = _UNPACED | {"FLASHSALE_SINK_BATCH": "50"}
_QUIET_SECONDS = 3
_STEADY_RATE = 500
_KILL_RATE = 300


def main() -> None:
    """Measure, print a table, write bench-results/bench-sink.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=int, default=20, help="of the paced run (default: %(default)s)"
    )
    parser.add_argument(
        "--orders", type=int, default=60_000, help="of each unpaced run (default: %(default)s)"
    )
    parser.add_argument(
        "--kills", type=int, default=20, help="of the drain at random moments (default: 20)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of those moments (default: 1)")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        testbed(Path(folder)) as bed,
    ):
        figures = {
            **_paced(bed, arguments.seconds),
            "sink_unpaced_per_second": _unpaced(bed, arguments.orders, _UNPACED),
            "sink_batched_per_second": _unpaced(bed, arguments.orders, _BATCHED),
            **_busy(bed),
            **_kills(bed, arguments.kills, random.Random(arguments.seed)),
        }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench-sink.json").write_text(json.dumps(figures, indent=2) + "\n")
    print_figures(figures)


def _paced(bed: Testbed, seconds: int) -> dict[str, float]:
    """Deliver at a fixed rate; return the most attempts in a second, and the average."""
    orders = _PACE * seconds
    with bed.shop():
        bed.put(orders)
        with bed.drain({"FLASHSALE_DRAIN_RATE": str(_PACE)}):
            seen = bed.until_made(orders)
    return {
        "sink_paced_max_1s": seen.most_in_a_second,
        "sink_paced_average": round(_per_second(seen), 1),
    }


def _unpaced(bed: Testbed, orders: int, settings: Mapping[str, str]) -> float:
    """Deliver as fast as can be; return the orders a second."""
    with bed.shop():
        bed.put(orders)
        with bed.drain(settings):
            seen = bed.until_made(orders)
    return round(_per_second(seen))


def _per_second(seen: Seen) -> float:
    return seen.attempts / (seen.last_at - seen.first_at)


def _busy(bed: Testbed) -> dict[str, float]:
    """Have the shop answer one order 429; return how long it hears nothing, and the recovery.

    The recovery is the time from the end of the silence until a tenth of a second has a tenth of
    the rate again, less 10 %.
    """
    orders = _STEADY_RATE * (_QUIET_SECONDS + 5)
    with bed.shop():
        bed.put(orders)
        with bed.drain({"FLASHSALE_DRAIN_RATE": str(_STEADY_RATE)}):
            bed.until_made(_STEADY_RATE)
            bed.behave(Behaviour(answer=429, retry_after=str(_QUIET_SECONDS), times=1))
            seen = bed.until_made(orders)
    at = seen.latest
    gaps = [(after - before, after) for before, after in pairwise(at)]
    silence, resumed = max(gaps)
    enough = 0.9 * _STEADY_RATE / 10
    recovered = next(
        moment for moment in at if moment >= resumed and _count(at, moment, 0.1) >= enough
    )
    return {
        "sink_silent_seconds": round(silence, 3),
        "sink_recovery_seconds": round(recovered - resumed, 3),
    }


def _count(at: list[float], since: float, seconds: float) -> int:
    return sum(since <= moment < since + seconds for moment in at)


def _kills(bed: Testbed, kills: int, dice: random.Random) -> dict[str, float]:
    """Kill the drain at random moments; return what was lost, and what was made twice."""
    if not kills:
        return {}
    with bed.shop():
        ids = bed.put(_KILL_RATE * 2 * kills)
        settings = {"FLASHSALE_DRAIN_RATE": str(_KILL_RATE)}
        for _ in track(range(kills), "killing"):
            with bed.drain(settings) as drain:
                made = len(bed.seen().orders)
                bed.until_made(min(len(ids), made + 1))
                time.sleep(dice.uniform(0, 0.5))
                drain.signal(signal.SIGKILL)
                drain.wait()
        with bed.drain(_UNPACED):
            bed.until_made(len(ids))
            deadline = time.monotonic() + 30
            while (ended := bed.ended(ids)) < len(ids) and time.monotonic() < deadline:
                time.sleep(0.5)
        seen = bed.seen()
    return {
        "kills": kills,
        "repeated_by_key": seen.repeated,
        "lost": len(set(ids) - set(seen.orders)) + len(ids) - ended,
        "doubled": len(seen.orders) - len(set(seen.orders)) + len(set(seen.orders) - set(ids)),
    }


if __name__ == "__main__":
    main()
