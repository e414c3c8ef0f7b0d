"""`make bench-status`: measure the cost of status polls and event streams, on private servers."""

import argparse
import asyncio
import json
import resource
import select
import socket
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from statistics import median

import asyncpg
import psutil
from rich.console import Console

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.bench.results import RESULTS, print_figures
from loadtest.load.closed_loop import ORDER, closed_loop_rate
from loadtest.processes import Process, process, scrape
from loadtest.servers import PostgresServer, free_port, postgres, rabbitmq

_POLL = """
wrk.path = "/orders/{order_id}"
done = function(summary, latency, requests)
    io.write(string.format("not 2xx: %d\\n", summary.errors.status))
end
"""
# Random ids that no gateway knows.
_MISS = """
math.randomseed(os.time())
request = function()
    local id = ""
    for _ = 1, 4 do id = id .. string.format("%08x", math.random(0, 4294967295)) end
    return wrk.format("GET", "/orders/" .. id)
end
done = function(summary, latency, requests)
    io.write(string.format("not 2xx: %d\\n", summary.requests - summary.errors.status))
end
"""
# A miss is answered with a delay, so 5,000 misses a second need this many connections.
_MISS_CONNECTIONS = 1_300
_STREAMS = (1_000, 5_000, 20_000)
_BROADCASTS = 3
_OTHER_FILES = 100
# One source address has too few ports for the largest number of connections.
_STREAMS_PER_ADDRESS = 10_000


def main() -> None:
    """Measure, print a table, write bench-results/bench-status.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of polling (default: 5)")
    parser.add_argument("--seconds", type=int, default=3, help="of each round (default: 3)")
    arguments = parser.parse_args()
    figures = measure(arguments.rounds, arguments.seconds, Console())
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench-status.json").write_text(json.dumps(figures, indent=2) + "\n")
    print_figures(figures)


def measure(rounds: int, seconds: int, console: Console) -> dict[str, float]:
    """Return all figures of the benchmark."""
    possible = _raise_limit(_STREAMS[-1] + _OTHER_FILES) - _OTHER_FILES
    counts = sorted({min(count, possible) for count in _STREAMS})
    if counts[-1] < _STREAMS[-1]:
        console.print(f"the limit of open files allows only {counts[-1]:,} streams")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = stack.enter_context(rabbitmq())
        database = stack.enter_context(postgres())
        asyncio.run(_prepare(database.url()))
        bare_port, port, metrics_port = free_port(), free_port(), free_port()
        stack.enter_context(
            process(["loadtest.load.bare_handler", str(bare_port)], folder / "bare.log")
        )
        environment = {
            "FLASHSALE_BROKER_URL": node.url,
            "FLASHSALE_DATABASE_URL": database.url(),
            "FLASHSALE_GATEWAY_PORT": str(port),
            "FLASHSALE_METRICS_PORT": str(metrics_port),
            "FLASHSALE_SHUTDOWN_SECONDS": "0",
        }

        def gateway() -> AbstractContextManager[Process]:
            return process(["flashsale", "gateway"], folder / "gateway.log", environment)

        ready = f"http://127.0.0.1:{port}/readyz"
        with gateway() as polled:
            polled.await_url(ready)
            figures = _polls(folder, bare_port, port, rounds, seconds)
            figures |= _misses(folder, port, metrics_port, database, 3 * seconds)
        with gateway() as streaming:  # a new one, as its memory is measured
            streaming.await_url(ready)
            figures |= _streams(streaming, port, database, counts)
        return figures


def _polls(folder: Path, bare_port: int, port: int, rounds: int, seconds: int) -> dict[str, float]:
    order, poll = folder / "order.lua", folder / "poll.lua"
    order.write_text(ORDER)
    poll.write_text(_POLL.format(order_id=_order(port)))
    bare, polls = [], []
    for _ in range(rounds):
        bare.append(closed_loop_rate(bare_port, order, seconds))
        polls.append(closed_loop_rate(port, poll, seconds))
    ratios = [ours / limit for ours, limit in zip(polls, bare, strict=True)]
    return {
        "bare_per_second": round(median(bare)),
        "polls_per_second": round(median(polls)),
        "polls_ratio_to_bare": round(median(ratios), 3),
    }


def _misses(
    folder: Path, port: int, metrics_port: int, database: PostgresServer, seconds: int
) -> dict[str, float]:
    script = folder / "miss.lua"
    script.write_text(_MISS)
    idle = asyncio.run(_transactions(database.dsn()))
    time.sleep(seconds)
    before = asyncio.run(_transactions(database.dsn()))
    lookups = _lookups(metrics_port)
    polls = closed_loop_rate(port, script, seconds, connections=_MISS_CONNECTIONS)
    time.sleep(1)  # PostgreSQL counts with a delay
    after = asyncio.run(_transactions(database.dsn()))
    return {
        "missing_polls_per_second": round(polls),
        # As the database counts them, minus the queries of an idle gateway.
        "ledger_queries_per_second": round(
            (after - before - (before - idle) * (seconds + 1) / seconds) / seconds, 1
        ),
        "ledger_queries_counted_by_gateway": round((_lookups(metrics_port) - lookups) / seconds, 1),
    }


def _streams(
    gateway: Process, port: int, database: PostgresServer, counts: Sequence[int]
) -> dict[str, float]:
    memory = psutil.Process(gateway.pid).memory_info
    figures: dict[str, float] = {}
    event_streams = EventStreams(port)
    empty = memory().rss
    stock = 1_000_000
    for count in counts:
        event_streams.open(count)
        figures[f"bytes_per_stream_at_{count}"] = round((memory().rss - empty) / count)
        spans = []
        for _ in range(_BROADCASTS):
            stock += 1
            asyncio.run(_execute(database.dsn(), f"UPDATE sales SET stock = {stock}"))
            spans.append(event_streams.await_event(f'"stock":{stock}'.encode()))
        figures[f"broadcast_to_last_ms_at_{count}"] = round(median(spans) * 1000, 1)
    event_streams.close()
    figures["bytes_per_stream"] = figures[f"bytes_per_stream_at_{counts[-1]}"]
    figures["broadcast_to_last_ms"] = figures[f"broadcast_to_last_ms_at_{counts[-1]}"]
    return figures


class EventStreams:
    """The open event streams of a sale."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: dict[int, socket.socket] = {}
        self._poll = select.epoll()

    def open(self, count: int) -> None:
        """Open streams up to this number; return once each has received its first event."""
        while len(self._sockets) < count:
            client = socket.socket()
            client.bind((f"127.0.0.{2 + len(self._sockets) // _STREAMS_PER_ADDRESS}", 0))
            client.connect(("127.0.0.1", self._port))
            client.sendall(b"GET /sales/bench/events HTTP/1.1\r\nHost: bench\r\n\r\n")
            received = b""
            while b"event: sale" not in received:
                received += client.recv(4096)
            client.setblocking(False)
            self._sockets[client.fileno()] = client
            self._poll.register(client, select.EPOLLIN)

    def await_event(self, mark: bytes) -> float:
        """Return the seconds from the first stream that receives the mark to the last."""
        first = 0.0
        waiting = set(self._sockets)
        deadline = time.monotonic() + 60
        while waiting:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(waiting)} streams did not receive the event")
            for number, _ in self._poll.poll(1):
                if mark in self._sockets[number].recv(65_536):
                    first = first or time.monotonic()
                    waiting.discard(number)
        return time.monotonic() - first

    def close(self) -> None:
        """Close all streams."""
        for client in self._sockets.values():
            client.close()
        self._poll.close()


def _raise_limit(wanted: int) -> int:
    """Raise the limit of open files for this process and its children; return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _order(port: int) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/orders",
        b'{"sku": "bench", "customer_id": "c-1"}',
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return str(json.loads(answer.read())["order_id"])


def _lookups(metrics_port: int) -> float:
    return scrape(metrics_port)[("flashsale_status_queries_total", "")]


async def _prepare(url: str) -> None:
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("bench", stock=1_000_000))


async def _transactions(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(
            await connection.fetchval(
                "SELECT xact_commit + xact_rollback FROM pg_stat_database"
                " WHERE datname = current_database()"
            )
        )
    finally:
        await connection.close()


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
