"""The spike: 5,000 orders a second in an open loop, into a queue that is drained at 2,000/s.

A latency counts from the moment when the order was due, as in `loadtest.load.open_loop`.
"""

import asyncio
from dataclasses import dataclass
from time import perf_counter

from loadtest.bench.brokers.closed_loop import order
from loadtest.bench.brokers.port import Full, Lost, OrderQueue
from loadtest.load.open_loop import percentiles_ms

RATE = 5_000
SECONDS = 4.0
BOUND = 2_000
DRAIN_RATE = 2_000
_MOST_AT_ONCE = 20
_TICK_SECONDS = 0.001
_PATIENCE_SECONDS = 5.0
_DRAIN_SECONDS = 20.0


@dataclass(frozen=True)
class Spike:
    """The orders by their answer, and the confirmed ones that never came out.

    An order without an answer counts in the percentiles with the time that it has waited.
    """

    accepted: int
    refused: int
    unanswered: int
    missing: int
    p50_ms: float
    p99_ms: float


async def spike(queue: OrderQueue, seconds: float = SECONDS) -> Spike:
    """Send the spike, drain the queue meanwhile, and return the figures."""
    drained: set[bytes] = set()
    accepted: set[bytes] = set()
    refused = unanswered = 0
    waited: list[float] = []
    begin = perf_counter()

    async def publish(number: int) -> None:
        nonlocal refused, unanswered
        body = order(number)
        try:
            await queue.publish(body)
            accepted.add(body)
        except Full:
            refused += 1
            return
        except (Lost, asyncio.CancelledError):  # such as too many in flight, or out of patience
            unanswered += 1
        waited.append(perf_counter() - begin - number / RATE)

    # An event, as a client may swallow a cancellation.
    drain_ends = asyncio.Event()
    draining = asyncio.create_task(_drain(queue, drained, drain_ends))
    publishers = []
    for number in range(round(RATE * seconds)):
        while (ahead := begin + number / RATE - perf_counter()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(max(ahead, _TICK_SECONDS))
        publishers.append(asyncio.create_task(publish(number)))
    _, late = await asyncio.wait(publishers, timeout=_PATIENCE_SECONDS)
    for publisher in late:
        publisher.cancel()
    await asyncio.gather(*publishers)
    await _until_drained(draining, accepted, drained)
    drain_ends.set()
    await draining
    latency = percentiles_ms(waited)
    return Spike(
        accepted=len(accepted),
        refused=refused,
        unanswered=unanswered,
        missing=len(accepted - drained),
        p50_ms=latency["p50"],
        p99_ms=latency["p99"],
    )


async def _until_drained(
    draining: asyncio.Task[None], accepted: set[bytes], drained: set[bytes]
) -> None:
    """Wait until all accepted orders have come out, for 20 s at most."""
    end = perf_counter() + _DRAIN_SECONDS
    while accepted - drained and perf_counter() < end and not draining.done():  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def _drain(queue: OrderQueue, drained: set[bytes], ends: asyncio.Event) -> None:
    """Take orders at the drain rate. What is not used while the queue is empty is not saved up."""
    begin = perf_counter()
    count = 0
    while not ends.is_set():
        due = int((perf_counter() - begin) * DRAIN_RATE) - count
        if due > 0:
            taken = await queue.take(min(due, _MOST_AT_ONCE))
            if taken:
                drained.update(one.body for one in taken)
                await queue.ack(taken)
                count += len(taken)
                continue
            begin = perf_counter() - count / DRAIN_RATE
        await asyncio.sleep(_TICK_SECONDS)
