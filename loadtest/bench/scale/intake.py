"""Measure the intake: orders by wrk, spread over gateways and skus, and their cost."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from loadtest.bench.scale.testbed import Gateway
from loadtest.load.closed_loop import CONNECTIONS, Answers, closed_loop
from loadtest.measure.usage import megabytes, usage
from loadtest.servers import RabbitNode

# Each order has another customer and key; the skus take turns.
_ORDERS = """
local number = 0
local headers = {{["Content-Type"] = "application/json"}}
request = function()
    number = number + 1
    headers["Idempotency-Key"] = "{run}-" .. number
    return wrk.format("POST", "/orders", headers, string.format(
        '{{"sku": "sku-%d", "customer_id": "c-{run}-%d", "quantity": 1}}',
        number % {skus}, number))
end
done = function(summary, latency, requests)
    io.write(string.format("not 2xx: %d\\n", summary.errors.status))
end
"""


@dataclass(frozen=True)
class IntakeResult:
    """The rate of some gateways together, and the cost. `p99_ms` is that of the slowest one."""

    per_second: float
    p99_ms: float
    cpu_us: float
    gateway_cores: float
    broker_cores: float


def order(
    folder: Path,
    gateways: Sequence[Gateway],
    seconds: int,
    skus: int = 1,
    connections: int = CONNECTIONS,
) -> list[Answers]:
    """Send orders to all gateways at once, over an equal share of the connections each."""
    share = max(1, connections // len(gateways))

    def one(gateway: Gateway) -> Answers:
        run = f"{random.randrange(16**8):08x}"
        script = folder / f"{run}.lua"
        script.write_text(_ORDERS.format(run=run, skus=skus))
        return closed_loop(gateway.port, script, seconds, share)

    with ThreadPoolExecutor(len(gateways)) as threads:
        return list(threads.map(one, gateways))


def accept(
    node: RabbitNode,
    folder: Path,
    gateways: Sequence[Gateway],
    seconds: int,
    skus: int = 1,
    connections: int = CONNECTIONS,
) -> IntakeResult:
    """Measure the intake for `seconds`."""
    serving = [process for gateway in gateways for process in gateway.processes()]
    broker = node.processes()
    before, broker_before, started = usage(serving), usage(broker), perf_counter()
    answers = order(folder, gateways, seconds, skus, connections)
    took = perf_counter() - started
    spent = usage(serving).cpu_seconds - before.cpu_seconds
    return IntakeResult(
        per_second=sum(answer.per_second for answer in answers),
        p99_ms=max(answer.p99_ms for answer in answers),
        cpu_us=1e6 * spent / sum(answer.count for answer in answers),
        gateway_cores=spent / took,
        broker_cores=(usage(broker).cpu_seconds - broker_before.cpu_seconds) / took,
    )


def summary(rounds: Sequence[IntakeResult], gateways: Sequence[Gateway]) -> dict[str, float]:
    """Return the medians of the rounds, and the average memory of a serving process."""
    serving = [process for gateway in gateways for process in gateway.processes()]
    return {
        "accepted": round(median(one.per_second for one in rounds)),
        "p99_ms": round(median(one.p99_ms for one in rounds), 1),
        "cpu_us": round(median(one.cpu_us for one in rounds), 1),
        "rss_mb": megabytes(usage(serving).rss_bytes / len(serving)),
        "gateway_cores": round(median(one.gateway_cores for one in rounds), 2),
        "broker_cores": round(median(one.broker_cores for one in rounds), 2),
    }
