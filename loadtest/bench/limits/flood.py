"""One address that sends far too much: what the others notice of it."""

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from loadtest.load.open_loop import open_loop, orders
from loadtest.load.shapes import Load
from loadtest.processes import Samples, scrape

_FLOOD_CONNECTIONS = 256
# From one address, as the proxy in front says: without a key, as a program that hammers.
_FLOOD = """
wrk.method = "POST"
wrk.path = "/orders"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Forwarded-For"] = "203.0.113.66"
wrk.body = '{"sku": "bench", "customer_id": "flood", "quantity": 1}'
"""
_OTHERS_RATE = 1000
_MARK = b"Content-Type"


def p99_ms(port: int, seconds: float) -> float:
    """Return the p99 of orders from as many addresses, sent on schedule. Raises `RuntimeError`."""
    url = f"http://127.0.0.1:{port}/orders"
    load = Load(rate=_OTHERS_RATE, seconds=seconds, connections=256)
    found = orders(url, "bench", len(load.schedule()))
    outcome = uvloop.run(open_loop(url, load, [_from_elsewhere(each) for each in found]))
    if set(outcome.statuses) != {202} or outcome.unanswered:
        raise RuntimeError(f"unexpected answers: {outcome.statuses}")
    return outcome.latency_ms["p99"]


def _from_elsewhere(request: bytes) -> bytes:
    address = f"198.18.{random.randrange(256)}.{random.randrange(256)}"
    return request.replace(_MARK, f"X-Forwarded-For: {address}\r\n".encode() + _MARK, 1)


@contextmanager
def flood(port: int, folder: Path, seconds: float) -> Iterator[None]:
    """Send as many orders as are answered, from one address, and for so long at least."""
    script = folder / "flood.lua"
    script.write_text(_FLOOD)
    running = subprocess.Popen(
        [
            *("wrk", "-t1", f"-c{_FLOOD_CONNECTIONS}", f"-d{int(seconds) + 5}s"),
            *("--timeout", "10s", "-s", str(script), f"http://127.0.0.1:{port}"),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        time.sleep(1)  # the burst is used up, and all connections are open
        yield
    finally:
        running.kill()
        running.wait()


def refused(metrics_port: int) -> float:
    """Return how many orders the gateway has answered with 429 so far."""
    seen: Samples = scrape(metrics_port)
    return seen.get(("flashsale_orders_total", "client-rate"), 0.0)
