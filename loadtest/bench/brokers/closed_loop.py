"""A closed loop: 64 orders are in flight all the time."""

import asyncio
from dataclasses import dataclass
from time import perf_counter

from loadtest.bench.brokers.port import Full, OrderQueue
from loadtest.load.open_loop import percentiles_ms
from loadtest.measure.usage import usage
from loadtest.servers import Server

IN_FLIGHT = 64
NO_BOUND = 50_000_000
"""A bound that no measurement reaches."""
_ORDER = b'{"id":"00000000000000000000000000","sku":"tv-55","customer_id":"c-1234567","quantity":1'
_ORDER_BYTES = 200
_AT_ONCE = 1_000


def order(number: int) -> bytes:
    """Return an order of 200 bytes that begins with its number in 8 digits."""
    return (b"%08d" % number + _ORDER).ljust(_ORDER_BYTES)


@dataclass(frozen=True)
class ClosedLoop:
    """The answers in the measured seconds, and the server's processor time for one of them."""

    confirmed: int
    refused: int
    seconds: float
    p50_ms: float
    p99_ms: float
    server_us: float


async def closed_loop(
    queue: OrderQueue, server: Server, seconds: float, warm_up: float = 0.5
) -> ClosedLoop:
    """Publish for `warm_up` seconds, then measure for `seconds`. Raises `Lost`."""
    latencies: list[float] = []
    confirmed = refused = number = 0
    begin = perf_counter() + warm_up
    end = begin + seconds

    async def publish_on() -> None:
        nonlocal confirmed, refused, number
        while (sent := perf_counter()) < end:
            number += 1
            full = False
            try:
                await queue.publish(order(number))
            except Full:
                full = True
            if sent >= begin:
                latencies.append(perf_counter() - sent)
                refused += full
                confirmed += not full

    async with asyncio.TaskGroup() as publishers:
        for _ in range(IN_FLIGHT):
            publishers.create_task(publish_on())
        await asyncio.sleep(warm_up)
        spent = usage(server.processes()).cpu_seconds
    spent = usage(server.processes()).cpu_seconds - spent
    latency = percentiles_ms(latencies)
    return ClosedLoop(
        confirmed=confirmed,
        refused=refused,
        seconds=seconds,
        p50_ms=latency["p50"],
        p99_ms=latency["p99"],
        server_us=1e6 * spent / len(latencies),
    )


async def fill(queue: OrderQueue) -> int:
    """Publish until the queue refuses an order; return how many it has confirmed."""
    confirmed = 0
    full = False

    async def publish_on() -> None:
        nonlocal confirmed, full
        while not full:
            try:
                await queue.publish(order(confirmed))
                confirmed += 1
            except Full:
                full = True

    async with asyncio.TaskGroup() as publishers:
        for _ in range(IN_FLIGHT):
            publishers.create_task(publish_on())
    return confirmed


async def empty(queue: OrderQueue) -> None:
    """Take and acknowledge all orders."""
    while await queue.depth():
        if taken := await queue.take(_AT_ONCE):
            await queue.ack(taken)
        else:
            await asyncio.sleep(0.01)
