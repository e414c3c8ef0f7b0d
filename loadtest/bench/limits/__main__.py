"""`make bench-limits`: measure what identity and the limits of clients cost, on private servers."""

import argparse
import asyncio
import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median

from rich.progress import track

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.bench.limits.flood import flood, p99_ms, refused
from loadtest.bench.limits.memory import memory
from loadtest.bench.limits.tokens import SECRET, tokens
from loadtest.bench.results import RESULTS, print_figures
from loadtest.load.closed_loop import closed_loop_rate
from loadtest.processes import process
from loadtest.servers import free_port, postgres, rabbitmq

# Each request takes the next line: a customer, and its token.
_WITH_TOKENS = """
local lines, requests, at = {{}}, {{}}, 0
for line in io.lines("{file}") do
    local customer, token = line:match("(%S+) (%S+)")
    local body = '{{"sku": "bench", "customer_id": "' .. customer .. '", "quantity": 1}}'
    local headers = {{
        ["Content-Type"] = "application/json",
        ["Authorization"] = "Bearer " .. token,
    }}
    lines[#lines + 1] = {{headers, body}}
end
init = function()
    for number, line in ipairs(lines) do
        requests[number] = wrk.format("POST", "/orders", line[1], line[2])
    end
    lines = nil
end
request = function()
    at = at % #requests + 1
    return requests[at]
end
done = function(summary, latency, requests)
    io.write(string.format("not 2xx: %d\\n", summary.errors.status))
end
"""
_MOST_PER_SECOND = 20_000

_IDENTITY = {"FLASHSALE_AUTH": "jwt", "FLASHSALE_JWT_SECRET": SECRET}
# Each order is counted, and none is refused.
_COUNTING = {
    "FLASHSALE_CLIENT_RATE": "100000",
    "FLASHSALE_CLIENT_BURST": "1000000",
    "FLASHSALE_CLIENT_READ_RATE": "100000",
}
_REFUSING = {
    "FLASHSALE_CLIENT_RATE": "1",
    "FLASHSALE_CLIENT_BURST": "10",
    "FLASHSALE_TRUSTED_PROXIES": "127.0.0.0/8",
}


def main() -> None:
    """Measure, print a table, write bench-results/bench-limits.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds (default: 9)")
    parser.add_argument("--seconds", type=int, default=3, help="of each round (default: 3)")
    arguments = parser.parse_args()
    figures = measure(arguments.rounds, arguments.seconds) | asdict(memory())
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench-limits.json").write_text(json.dumps(figures, indent=2) + "\n")
    print_figures(figures)


def measure(rounds: int, seconds: int) -> dict[str, float]:
    """Return the figures of speed. The gateways take turns, as the machine's speed varies."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = stack.enter_context(rabbitmq())
        database = stack.enter_context(postgres())
        asyncio.run(_prepare(database.url()))
        metrics_port = free_port()
        environment = {
            "FLASHSALE_BROKER_URL": node.url,
            "FLASHSALE_DATABASE_URL": database.url(),
            "FLASHSALE_QUEUE_MAX_LENGTH": "10000000",
            "FLASHSALE_METRICS_PORT": "0",
        }

        def start(name: str, settings: dict[str, str]) -> int:
            port = free_port()
            gateway = stack.enter_context(
                process(
                    ["flashsale", "gateway"],
                    folder / f"{name}.log",
                    environment | settings | {"FLASHSALE_GATEWAY_PORT": str(port)},
                )
            )
            gateway.await_url(f"http://127.0.0.1:{port}/readyz")
            return port

        off, on = start("off", {}), start("on", _IDENTITY | _COUNTING)
        refusing = start("refusing", _REFUSING | {"FLASHSALE_METRICS_PORT": str(metrics_port)})
        figures = _accepted(folder, off, on, rounds, seconds)
        return figures | _beside_a_flood(folder, refusing, metrics_port, rounds, seconds)


def _accepted(folder: Path, off: int, on: int, rounds: int, seconds: int) -> dict[str, float]:
    # All gateways get the same requests: one that checks no tokens passes them over.
    known = _script(folder, "known", 0, 1)
    count = _MOST_PER_SECOND * seconds
    new = [_script(folder, f"new-{n}", 1 + n * count, count) for n in range(rounds)]
    without: list[float] = []
    with_known: list[float] = []
    with_new: list[float] = []
    for number in track(range(rounds), "accepting"):
        turns = [(off, known, without), (on, known, with_known), (on, new[number], with_new)]
        # The broker still writes what came in the turn before, so each is first as often.
        for port, script, rates in turns[number % 3 :] + turns[: number % 3]:
            rates.append(closed_loop_rate(port, script, seconds))
    return {
        "accepted_per_second_off": round(median(without)),
        "accepted_per_second_on": round(median(with_known)),
        "accepted_ratio_identity_on_to_off": _ratio(with_known, without),
        "accepted_ratio_new_tokens": _ratio(with_new, without),
    }


def _script(folder: Path, name: str, first: int, count: int) -> Path:
    """Write a script that sends orders with tokens of so many customers, one after the other."""
    lines = folder / f"{name}.txt"
    lines.write_text("".join(f"{customer} {token}\n" for customer, token in tokens(first, count)))
    script = folder / f"{name}.lua"
    script.write_text(_WITH_TOKENS.format(file=lines))
    return script


def _ratio(ours: list[float], limits: list[float]) -> float:
    ratios = [mine / limit for mine, limit in zip(ours, limits, strict=True)]
    return round(median(ratios), 3)


def _beside_a_flood(
    folder: Path, port: int, metrics_port: int, rounds: int, seconds: int
) -> dict[str, float]:
    alone, beside, per_second = [], [], []
    for _ in track(range(rounds), "beside a flood"):
        alone.append(p99_ms(port, seconds))
        with flood(port, folder, seconds):
            before, began = refused(metrics_port), time.monotonic()
            beside.append(p99_ms(port, seconds))
            count = refused(metrics_port) - before
            per_second.append(count / (time.monotonic() - began))
    return {
        "p99_ms_alone": round(median(alone), 2),
        "p99_ms_beside_flood": round(median(beside), 2),
        "p99_ratio_beside_flood": _ratio(beside, alone),
        "flood_refused_per_second": round(median(per_second)),
    }


async def _prepare(url: str) -> None:
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("bench", stock=1_000_000_000))


if __name__ == "__main__":
    main()
