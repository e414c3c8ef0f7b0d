"""Wait for the queries of the modelled database."""

import asyncio
import random
import time

from loadtest.receiver.saturated_database import Limits, SaturatedDatabase


class DatabaseBusy(Exception):
    """A query got no connection in time."""


class ConnectionPool:
    """Runs queries against the model, by the monotonic clock."""

    def __init__(self, limits: Limits, seed: int = 0) -> None:
        self._database: SaturatedDatabase[asyncio.Future[None]] = SaturatedDatabase(
            limits,
            random.Random(seed),
        )
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def waiting(self) -> int:
        """The number of queries that wait for a connection."""
        return self._database.waiting

    async def execute(self) -> None:
        """Return when a query is done. Raises `DatabaseBusy`.

        The query goes on if its caller is cancelled, as in a real database.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        now = time.monotonic()
        self._advance(now)
        self._database.arrive(done, now)
        self._wake_up()
        await done

    def close(self) -> None:
        """Stop. Queries that have not ended never do."""
        if self._timer is not None:
            self._timer.cancel()

    def _advance(self, now: float) -> None:
        for ended in self._database.advance(now):
            if ended.query.done():
                continue  # its caller was cancelled
            if ended.done:
                ended.query.set_result(None)
            else:
                ended.query.set_exception(DatabaseBusy())

    def _wake_up(self) -> None:
        """Set the timer for the next end, unless it is set for that or earlier."""
        moment = self._database.next_end
        if moment is None or (self._timer is not None and self._timer_at <= moment):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = moment
        delay = max(0.0, moment - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._advance(time.monotonic())
        self._wake_up()
