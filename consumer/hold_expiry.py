"""The timer of the holds: it tells the drain when holds end, or somebody in line can be served."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from flashsale.domain.sales import Verdict
from flashsale.ledger import DrainLease

# A gateway may cancel a hold, or confirm the last one, at any moment, and nobody tells the drain.
_LOOK_SECONDS = 0.25
# A sale with holds may be created, which then has none that ends for at least this long.
_LOOK_WITHOUT_HOLDS_SECONDS = 1.0


class HoldExpiry:
    """What the holds need of the drain. The drain's clock decides, and the drain's rate holds."""

    def __init__(self) -> None:
        self._look_at = 0.0
        self.due = 0
        """How many orders that were decided before may change now: at most one batch."""
        self.holds = False
        """Whether any sale has holds."""
        self.nothing_held = False
        """Whether no order held anything at the last look."""

    async def first_of(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Return after `wait`, or once it is time to look."""
        delay = 0.0 if self.due else self._look_at - time.monotonic()
        if delay >= _LOOK_SECONDS:
            # Whoever waits looks sooner for other reasons, and then comes back.
            return await wait()
        try:
            async with asyncio.timeout(max(0.0, delay)):
                await wait()
        except TimeoutError:
            return

    async def look(self, lease: DrainLease, most: int, now: float) -> bool:
        """Ask the ledger what is due if it is time to look, and return whether it was.

        Up to `most` orders, at Unix time `now` of the drain's clock.
        """
        if self.due or time.monotonic() < self._look_at:
            return False
        due = await lease.due(now, most)
        self.due, self.holds = due.changes, due.holds
        self.nothing_held = due.next_at is None
        pause = _LOOK_SECONDS if due.holds else _LOOK_WITHOUT_HOLDS_SECONDS
        if due.next_at is not None and not due.changes:
            pause = min(pause, max(0.0, due.next_at - now))
        self._look_at = time.monotonic() + pause
        return True

    def settled(self, verdicts: Sequence[Verdict], due: int) -> None:
        """Note what a batch has changed that was allowed `due` changes."""
        if not due:
            return
        moved = sum(len(verdict.moved) for verdict in verdicts)
        if moved >= due:
            self.due = max(self.due, due)  # so there is more
            return
        # If nothing has changed, somebody else was faster, or the change is refused.
        self.due = 0
        self._look_at = time.monotonic() + (0.0 if moved else _LOOK_SECONDS)
