"""Tell every open request when the process is told to stop."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Lifecycle:
    """Whether the process was told to stop, and the requests that want to know at once."""

    def __init__(self) -> None:
        self.stopping = False
        self._waiting: set[asyncio.Future[None]] = set()

    def stop(self) -> None:
        """Note that the process was told to stop, and wake the requests that wait for it."""
        self.stopping = True
        for stopped in self._waiting:
            if not stopped.done():
                stopped.set_result(None)

    @contextmanager
    def until_stopped(self) -> Iterator[asyncio.Future[None]]:
        """Yield a future that ends when the process is told to stop."""
        # Each caller gets its own: removing a callback from a future with thousands takes long.
        stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.stopping:
            stopped.set_result(None)
        self._waiting.add(stopped)
        try:
            yield stopped
        finally:
            self._waiting.discard(stopped)
