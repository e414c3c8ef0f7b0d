"""Record the effects of handled events, many events in one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from flashsale.domain.backoff import Backoff
from flashsale.ledger import EffectStore, LedgerBusy, LedgerError, LedgerRefused
from services.pending_event import PendingEvent

log = structlog.get_logger()

MAX_BATCH = 500
"""The most events in one transaction, or in one query."""

# As a rule nobody waits for the record, and a larger batch means fewer commits for a busy database.
_GATHER_SECONDS = 0.05
_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 2.0


def retry_backoff() -> Backoff:
    """Return the pauses between attempts to reach the database or the broker."""
    return Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)


@dataclass(kw_only=True, eq=False)
class EffectRecorder:
    """Writes the effects of one service, and marks their events as done in the same transaction."""

    service: str
    effects: EffectStore
    on_recorded: Callable[[Sequence[PendingEvent], int], None]
    """Called with each recorded batch, and how many of its events were not done before."""
    on_refused: Callable[[PendingEvent, LedgerRefused], Awaitable[None]]
    """Called with an event whose effects the database refuses."""
    queue_waits: Callable[[], bool]
    """Return whether the queue delivers no more events before some are recorded."""
    _handled: list[PendingEvent] = field(default_factory=list, init=False)
    _some_handled: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def add(self, pending: PendingEvent) -> None:
        """Record the effects of a handled event soon."""
        self._handled.append(pending)
        self._some_handled.set()

    async def run(self) -> None:
        """Record effects until cancelled."""
        while True:
            await self._some_handled.wait()
            if len(self._handled) < MAX_BATCH and not self.queue_waits():
                await asyncio.sleep(_GATHER_SECONDS)
            batch, self._handled = self._handled[:MAX_BATCH], self._handled[MAX_BATCH:]
            if not self._handled:
                self._some_handled.clear()
            try:
                await self._record(batch)
            except LedgerRefused:
                # One event can't be written. Write each alone, so that only that one fails.
                for pending in batch:
                    try:
                        await self._record([pending])
                    except LedgerRefused as error:
                        await self.on_refused(pending, error)

    async def _record(self, batch: Sequence[PendingEvent]) -> None:
        """Record a batch, and try again until the database has it or refuses it."""
        backoff = retry_backoff()
        while True:
            try:
                new = await self.effects.take_effect(
                    self.service, [pending.effects for pending in batch]
                )
                break
            except LedgerRefused:
                raise
            except LedgerError as error:
                # The commit may have happened. Writing the same effects again changes nothing.
                if not isinstance(error, LedgerBusy):
                    log.warning("service waits", service=self.service, reason=str(error))
            await asyncio.sleep(backoff.next())
        self.on_recorded(batch, new)
