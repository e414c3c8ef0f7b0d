"""Whether a process should go on."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Lifecycle:
    """Whether the process was told to stop, and who wants to hear of it."""

    def __init__(self) -> None:
        self.stopping = False
        self._waiting: set[asyncio.Future[None]] = set()

    def stop(self) -> None:
        """It was told to stop."""
        self.stopping = True
        for stopped in self._waiting:
            if not stopped.done():
                stopped.set_result(None)

    @contextmanager
    def until_stopped(self) -> Iterator[asyncio.Future[None]]:
        """A future that ends when the process is told to stop."""
        # One for each: a future that thousands wait for takes long to leave.
        stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.stopping:
            stopped.set_result(None)
        self._waiting.add(stopped)
        try:
            yield stopped
        finally:
            self._waiting.discard(stopped)
