"""Kill the server under load (SIGKILL), start it on its data, and look for confirmed orders."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter

from loadtest.bench.brokers.closed_loop import IN_FLIGHT, NO_BOUND, order
from loadtest.bench.brokers.contenders import Contender, Running
from loadtest.bench.brokers.port import Full, Lost, OrderQueue
from loadtest.servers import Server

_MARK = order(99_999_999)
_AT_MOST = 1_000
_PAUSE_SECONDS = 0.01
_REOPEN_SECONDS = 0.05
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Killed:
    """The confirmed orders, those that are gone, and the seconds from start to first confirm.

    None if the queue was not back within a minute.
    """

    confirmed: int
    lost: int | None
    back_after_seconds: float | None


async def kill(one: Contender, running: Running, seconds: float) -> Killed:
    """Publish with 64 in flight for `seconds`, then kill the server and start it again.

    A kill loses nothing that was written to the kernel, synced or not: only a power cut would.
    """
    async with one.open(running.address, NO_BOUND) as queue:
        confirmed = await _publish_until_killed(queue, running.server, seconds)
    started = perf_counter()
    await asyncio.to_thread(running.server.start)
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(_PATIENCE_SECONDS):
            queue = await _open_again(one, running, stack)
            await _publish_mark(queue)
            back_after = perf_counter() - started
            stored = await _take_until_mark(queue)
    except TimeoutError:
        return Killed(len(confirmed), None, None)
    return Killed(len(confirmed), len(confirmed - stored), back_after)


async def _publish_until_killed(queue: OrderQueue, server: Server, seconds: float) -> set[bytes]:
    confirmed: set[bytes] = set()
    number = 0
    killed = False

    async def publish_on() -> None:
        nonlocal number
        while not killed:
            number += 1
            body = order(number)
            try:
                await queue.publish(body)
            except Lost:
                return
            confirmed.add(body)

    async with asyncio.timeout(seconds + _PATIENCE_SECONDS), asyncio.TaskGroup() as publishers:
        for _ in range(IN_FLIGHT):
            publishers.create_task(publish_on())
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.kill)
        killed = True
    return confirmed


async def _open_again(one: Contender, running: Running, stack: AsyncExitStack) -> OrderQueue:
    while True:
        try:
            return await stack.enter_async_context(one.open(running.address, NO_BOUND))
        except Lost:  # the server is up, but its queue is not
            await asyncio.sleep(_REOPEN_SECONDS)


async def _publish_mark(queue: OrderQueue) -> None:
    while True:
        try:
            return await queue.publish(_MARK)
        except (Full, Lost):
            await asyncio.sleep(_PAUSE_SECONDS)


async def _take_until_mark(queue: OrderQueue) -> set[bytes]:
    stored: set[bytes] = set()
    while _MARK not in stored:
        taken = await queue.take(_AT_MOST)
        if taken:
            stored.update(one.body for one in taken)
            await queue.ack(taken)
        else:
            await asyncio.sleep(_PAUSE_SECONDS)
    return stored
