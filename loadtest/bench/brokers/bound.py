"""Count how far two publishers together get past the bound of a queue that nobody drains."""

from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

import uvloop

from loadtest.bench.brokers.closed_loop import fill
from loadtest.bench.brokers.contenders import Contender, Running, contender
from loadtest.bench.brokers.spike import BOUND

_PUBLISHERS = 2
_START_SECONDS = 60.0


async def orders_past_bound(one: Contender, running: Running) -> int:
    """Return how many orders over the bound were confirmed before both were refused.

    Each publisher is a process with 64 orders in flight.
    """
    spawning = get_context("spawn")
    ready = spawning.Barrier(_PUBLISHERS)
    results: SimpleQueue[int] = spawning.SimpleQueue()
    async with one.open(running.address, BOUND):  # make the queue
        processes = [
            spawning.Process(target=_publish, args=(one.name, running.address, ready, results))
            for _ in range(_PUBLISHERS)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            raise RuntimeError("a publisher has failed; what it printed says why")
        return sum(results.get() for _ in processes) - BOUND


def _publish(name: str, address: str, ready: Barrier, results: "SimpleQueue[int]") -> None:
    async def run() -> int:
        async with contender(name).open(address, BOUND) as queue:
            ready.wait(_START_SECONDS)
            return await fill(queue)

    results.put(uvloop.run(run()))
