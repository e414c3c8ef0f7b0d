"""An open loop: requests are sent on schedule, without waiting for answers.

A closed loop sends its next request after the last answer, so it sends almost nothing while the
server stalls, and its percentiles hide the stall (coordinated omission). Here a latency counts from
the moment the request was *due*, so every request that was due in a stall shows it.

`python -m loadtest.load.open_loop --url http://127.0.0.1:8080/orders --rate 5000 --seconds 10`
"""

import argparse
import asyncio
import ipaddress
import json
import math
import random
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import uvloop

from loadtest.load.connections import Connections
from loadtest.load.shapes import Load, Shape

# The resolution of an event loop's timers.
_TICK_SECONDS = 0.001

_PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "max": 100}


@dataclass(frozen=True)
class Outcome:
    """The figures of a run.

    An unanswered request counts with the time that it has waited, which is too short; `unanswered`
    is the number of them. `late_ms` is the delay of the generator itself, `at_once` the most open
    connections, `held` the number of requests that had to wait for a free connection.
    """

    sent: int
    statuses: dict[int, int]
    unanswered: int
    answered_per_second: float
    seconds: float
    latency_ms: dict[str, float]
    late_ms: dict[str, float]
    at_once: int
    held: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request. Moments are in seconds of the monotonic clock.

    `status` is 0 if the connection broke or no answer came; `seconds` count from `due`.
    """

    due: float
    sent: float
    status: int
    seconds: float


async def open_loop(
    url: str, load: Shape, requests: Sequence[bytes], attempts: list[Attempt] | None = None
) -> Outcome:
    """Send each request when it is due; there must be one for each moment of the schedule.

    If there is a list of `attempts`, each request is appended to it.

    Raises `ValueError` if the load is over a bound or the URL is not of this machine, and `OSError`
    if nothing listens there.
    """
    schedule = load.schedule()
    if not schedule:
        raise ValueError("no request is due in so short a time")
    if len(requests) != len(schedule):
        raise ValueError(f"{len(requests)} requests for {len(schedule)} moments")
    run = _Run(schedule, requests)
    host, port = loopback(url)
    connections = Connections(host, port, load.connections, run.answered)
    cpu = time.process_time()
    await connections.open_one()  # fail before the clock runs if nothing listens
    try:
        await run.through(connections, load.patience)
        if attempts is not None:
            attempts += run.attempts()
        return run.outcome(connections, time.process_time() - cpu)
    finally:
        await connections.close()


class _Run:
    """The requests of one run, with the times they were due and answered."""

    def __init__(self, schedule: list[float], requests: Sequence[bytes]) -> None:
        self._schedule = schedule
        self._requests = requests
        self._late: list[float] = []
        self._latency: list[float | None] = [None] * len(schedule)
        self._status = [0] * len(schedule)
        self._unanswered = len(schedule)
        self._clock = time.monotonic  # uvloop's own clock has a resolution of milliseconds
        self._start = self._end = 0.0
        self._done = asyncio.Event()

    async def through(self, connections: Connections, patience: float) -> None:
        """Send all requests; return once they are answered or `patience` has passed."""
        sending = asyncio.create_task(self._send(connections))
        try:
            async with asyncio.timeout(self._schedule[-1] + patience):
                await sending
                await self._done.wait()
        except TimeoutError:
            sending.cancel()
        self._end = self._clock() - self._start

    async def _send(self, connections: Connections) -> None:
        self._start = self._clock()
        count = len(self._schedule)
        number = 0
        while number < count:
            # Send all requests that became due since the last tick.
            now = self._clock() - self._start
            while number < count and self._schedule[number] <= now:
                self._late.append(now - self._schedule[number])
                connections.send(number, self._requests[number])
                number += 1
            if number < count:
                due_in = self._schedule[number] + self._start - self._clock()
                await asyncio.sleep(max(due_in, _TICK_SECONDS))

    def answered(self, number: int, status: int) -> None:
        """Record an answer; status 0 means that the connection broke."""
        self._latency[number] = self._clock() - self._start - self._schedule[number]
        self._status[number] = status
        self._unanswered -= 1
        if not self._unanswered:
            self._done.set()

    def attempts(self) -> list[Attempt]:
        """Return the requests that were sent."""
        # A run that ended early has sent fewer than were due.
        return [
            Attempt(self._start + due, self._start + due + late, status, seconds)
            for due, late, status, seconds in zip(
                self._schedule, self._late, self._status, self._seconds(), strict=False
            )
        ]

    def _seconds(self) -> list[float]:
        return [
            max(0.0, self._end - due) if taken is None else taken
            for taken, due in zip(self._latency, self._schedule, strict=True)
        ]

    def outcome(self, connections: Connections, cpu_seconds: float) -> Outcome:
        """Return the figures of the run."""
        latency = self._seconds()
        statuses = Counter(
            status
            for status, taken in zip(self._status, self._latency, strict=True)
            if taken is not None
        )
        answered = statuses.total() - statuses[0]
        return Outcome(
            sent=len(self._late),
            statuses=dict(sorted(statuses.items())),
            unanswered=self._unanswered,
            answered_per_second=round(answered / self._end, 1),
            seconds=round(self._end, 3),
            latency_ms=percentiles_ms(latency),
            late_ms=percentiles_ms(self._late),
            at_once=connections.most,
            held=connections.held,
            cpu_seconds=round(cpu_seconds, 3),
        )


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return nearest-rank percentiles in milliseconds."""
    ordered = sorted(seconds)
    return {
        name: round(1000 * ordered[math.ceil(len(ordered) * percent / 100) - 1], 3)
        for name, percent in _PERCENTILES.items()
    }


def customers(count: int) -> list[str]:
    """Return the names of as many customers, of which no other run has one."""
    run = random.randrange(16**8)
    return [f"c-{run:08x}-{number}" for number in range(count)]


def orders(url: str, sku: str, count: int) -> list[bytes]:
    """Return requests for one item each, with a customer and a key of their own."""
    return orders_of(url, sku, customers(count))


def orders_of(url: str, sku: str, names: Sequence[str]) -> list[bytes]:
    """Return a request for one item of each customer, whose name is the key as well."""
    parts = urlsplit(url)
    head = f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
    found = []
    for customer in names:
        body = json.dumps({"sku": sku, "customer_id": customer, "quantity": 1})
        found.append(
            f"{head}Content-Type: application/json\r\nIdempotency-Key: {customer}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
    return found


def loopback(url: str) -> tuple[str, int]:
    """Return address and port. Raises `ValueError` unless it is a loopback address."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"not http://...: {url}")
    address = socket.getaddrinfo(parts.hostname, None, type=socket.SOCK_STREAM)[0][4][0]
    if not ipaddress.ip_address(address).is_loopback:
        raise ValueError(f"{parts.hostname} is not this machine: load must stay on this machine")
    return str(address), parts.port or 80


def main() -> None:
    """Send orders and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="/orders of a gateway on this machine")
    parser.add_argument("--sku", default="tv-55", help="the item to order (default: tv-55)")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10, help="(default: 10)")
    parser.add_argument("--connections", type=int, default=512, help="at most (default: 512)")
    parser.add_argument("--patience", type=float, default=5, help="seconds (default: 5)")
    parser.add_argument("--poisson", action="store_true", help="random gaps, as of real shoppers")
    arguments = parser.parse_args()
    load = Load(
        rate=arguments.rate,
        seconds=arguments.seconds,
        connections=arguments.connections,
        patience=arguments.patience,
        poisson=arguments.poisson,
    )
    try:
        requests = orders(arguments.url, arguments.sku, len(load.schedule()))
        outcome = uvloop.run(open_loop(arguments.url, load, requests))
    except (ValueError, OSError) as error:
        parser.exit(1, f"{error}\n")
    print(json.dumps(asdict(outcome), indent=2))


if __name__ == "__main__":
    main()
