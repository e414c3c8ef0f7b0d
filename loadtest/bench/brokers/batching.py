"""Send orders in batches: what comes while a batch is on its way goes with the next one."""

import asyncio
from collections.abc import Awaitable, Callable

from loadtest.bench.brokers.port import Full

Send = Callable[[list[bytes]], Awaitable[int]]
"""Sends orders in one command; returns how many of them the queue took, from the first on."""

_AT_MOST = 1000


class Batcher:
    """Nagle's algorithm (RFC 896) for a server whose client answers one command at a time."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def publish(self, body: bytes) -> None:
        """Send an order with the next batch. Raises `Full` or `Lost`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((body, done))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())
        await done

    async def _send_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_AT_MOST], self._waiting[_AT_MOST:]
            try:
                room = await self._send([body for body, _ in batch])
            except Exception as error:  # each publisher gets it
                _finish([done for _, done in batch], error)
                continue
            answers = [done for _, done in batch]
            _finish(answers[:room], None)
            _finish(answers[room:], Full())
        self._sending = None


def _finish(answers: list[asyncio.Future[None]], error: Exception | None) -> None:
    for done in answers:
        if done.done():  # its publisher was cancelled
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
