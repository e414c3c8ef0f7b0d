"""The endpoints that want events, read afresh for many events at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from flashsale.ledger import Subscription

_PAUSE_SECONDS = 0.1

Read = Callable[[], Awaitable[Sequence[Subscription]]]


class Subscriptions:
    """Reads the subscriptions from the database, at most ten times a second.

    Each caller gets what a read found that began after its call. So an event is never judged by
    subscriptions from before it happened: an endpoint gets each event that was decided after the
    endpoint was added.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._next: asyncio.Task[Sequence[Subscription]] | None = None
        self._not_before = 0.0

    async def current(self) -> Sequence[Subscription]:
        """Return the subscriptions as they are now. Raises `LedgerError`."""
        if self._next is None:
            self._next = asyncio.create_task(self._read_soon(), name="webhook subscriptions")
            # The callers may all be gone by then.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        # One caller that is cancelled must not cancel the read of the others.
        return await asyncio.shield(self._next)

    async def _read_soon(self) -> Sequence[Subscription]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(self._not_before - loop.time(), 0.0))
        self._not_before = loop.time() + _PAUSE_SECONDS
        self._next = None  # from here on, callers need another read
        return await self._read()
