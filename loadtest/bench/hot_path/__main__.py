"""`make bench`: measure how fast orders are accepted, confirmed and drained, on private servers."""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import asyncpg
from rich.progress import track

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.bench.results import RESULTS, print_figures
from loadtest.load.closed_loop import ORDER, closed_loop_rate
from loadtest.measure.windows import most_in_window, per_second
from loadtest.processes import process
from loadtest.servers import free_port, postgres, rabbitmq

_DRAINED = 50_000
_PACE = 2000
_PACED_SECONDS = 20


def main() -> None:
    """Measure, print a table, write bench-results/bench.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of intake (default: 7)")
    parser.add_argument("--seconds", type=int, default=3, help="of each round (default: 3)")
    parser.add_argument(
        "--queue-type", choices=("quorum", "classic"), default="quorum", help="(default: quorum)"
    )
    arguments = parser.parse_args()
    figures = measure(arguments.rounds, arguments.seconds, arguments.queue_type)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps(figures, indent=2) + "\n")
    print_figures(figures)


def measure(rounds: int, seconds: int, queue_type: str) -> dict[str, float]:
    """Return all figures. Bare handler and gateway take turns, as the machine's speed varies."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = stack.enter_context(rabbitmq())
        # Durable, as in production. The rate is also measured by its own record of commits.
        database = stack.enter_context(postgres(track_commit_timestamp="on"))
        asyncio.run(_prepare(database.url()))
        script = folder / "order.lua"
        script.write_text(ORDER)

        bare_port, gateway_port = free_port(), free_port()
        stack.enter_context(
            process(["loadtest.load.bare_handler", str(bare_port)], folder / "bare.log")
        )
        environment = {
            "FLASHSALE_BROKER_URL": node.url,
            "FLASHSALE_DATABASE_URL": database.url(),
            "FLASHSALE_QUEUE_TYPE": queue_type,
            "FLASHSALE_QUEUE_MAX_LENGTH": "10000000",
            "FLASHSALE_METRICS_PORT": "0",
        }
        with process(
            ["flashsale", "gateway"],
            folder / "gateway.log",
            environment | {"FLASHSALE_GATEWAY_PORT": str(gateway_port)},
        ) as gateway:
            gateway.await_url(f"http://127.0.0.1:{gateway_port}/readyz")
            bare, accepted = [], []
            for _ in track(range(rounds), "accepting"):
                bare.append(closed_loop_rate(bare_port, script, seconds))
                accepted.append(closed_loop_rate(gateway_port, script, seconds))
            waiting = round(sum(accepted) * seconds)
            while waiting < _PACE * (_PACED_SECONDS + 2) + _DRAINED:
                waiting += round(closed_loop_rate(gateway_port, script, seconds) * seconds)

        pace = {"FLASHSALE_DRAIN_RATE": str(_PACE)}
        with process(["flashsale", "consumer"], folder / "paced.log", environment | pace):
            paced = asyncio.run(_decided(database.dsn(), _PACE * _PACED_SECONDS, after=0.0))
        committed = asyncio.run(_committed(database.dsn()))
        # Orders decided until the consumer stopped do not belong to the next run.
        after = time.time()
        free = {"FLASHSALE_DRAIN_RATE": "1000000", "FLASHSALE_DRAIN_BATCH": "500"}
        with process(["flashsale", "consumer"], folder / "free.log", environment | free):
            unpaced = asyncio.run(_decided(database.dsn(), _DRAINED, after=after))
    bare_rate, accepted_rate = statistics.median(bare), statistics.median(accepted)
    ratios = [ours / limit for ours, limit in zip(accepted, bare, strict=True)]
    return {
        "bare_per_second": round(bare_rate),
        "accepted_per_second": round(accepted_rate),
        "accepted_ratio_to_bare": round(statistics.median(ratios), 3),
        "drain_unpaced_per_second": round(per_second(unpaced)),
        "drain_paced_min_1s": _fewest(paced),
        "drain_paced_max_1s": most_in_window(paced, 1),
        "drain_paced_average": round(per_second(paced), 1),
        "drain_committed_max_1s": most_in_window(committed, 1),
    }


async def _prepare(url: str) -> None:
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("bench", stock=1_000_000_000))


async def _decided(dsn: str, wanted: int, after: float) -> list[tuple[float, int]]:
    """Return the batches by release time in seconds, once `wanted` orders are decided."""
    connection = await asyncpg.connect(dsn)
    try:
        before = await connection.fetchval(
            "SELECT count(*) FROM orders WHERE decided_at <= $1", after
        )
        deadline = time.monotonic() + 120
        # Each order is for one item and there is one sale, so `sold` is the number of orders.
        while await connection.fetchval("SELECT sold FROM sales") - before < wanted:
            if time.monotonic() > deadline:
                raise RuntimeError(f"fewer than {wanted} orders drained in 120 s")
            await asyncio.sleep(0.1)
        rows = await connection.fetch(
            "SELECT decided_at, count(*) FROM orders WHERE decided_at > $1"
            " GROUP BY decided_at ORDER BY decided_at",
            after,
        )
        return [(moment, count) for moment, count in rows]
    finally:
        await connection.close()


async def _committed(dsn: str) -> list[tuple[float, int]]:
    """Return the batches by the time at which PostgreSQL committed them, in seconds."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS moment, count(*)"
            " FROM orders GROUP BY xmin ORDER BY moment"
        )
        return [(moment, count) for moment, count in rows]
    finally:
        await connection.close()


def _fewest(batches: list[tuple[float, int]]) -> int:
    """Return the fewest orders in any whole second since the first batch."""
    start = batches[0][0]
    seconds = [0] * int(batches[-1][0] - start)
    for moment, count in batches:
        if int(moment - start) < len(seconds):
            seconds[int(moment - start)] += count
    return min(seconds)


if __name__ == "__main__":
    main()
