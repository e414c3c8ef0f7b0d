"""The sales, kept in memory, so that a flood of requests reads none from the database."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import structlog

from flashsale.domain.sales import Sale, sale_state
from flashsale.ledger import LedgerError, LedgerUnavailable, Sales
from flashsale.messages.announcements import Progress
from gateway.state.stream_changes import StreamChanges

log = structlog.get_logger()

REFRESH_SECONDS = 0.2
_STALE_SECONDS = 3
_LONGEST_TIMER_SECONDS = 3600.0


_COUNTS = ("stock", "sold", "sold_out", "held", "waiting", "line_head")
"""What announcements tell of a sale."""


def _counts(told: Progress) -> dict[str, object]:
    return {
        "stock": None if told.of_shop else told.stock,
        "sold": told.sold,
        "sold_out": told.sold_out,
        "held": told.held,
        "waiting": told.waiting,
        "line_head": told.line_head,
    }


class KnownSales:
    """All sales, at most `REFRESH_SECONDS` old as long as the database answers.

    Each change is noted for the streams: one that was announced or read, and the moments at which
    a sale opens or closes.
    """

    def __init__(self, ledger: Sales, changes: StreamChanges, clock: Callable[[], float]) -> None:
        """Read sales of the ledger; `clock` tells the Unix time by which they open and close."""
        self._ledger = ledger
        self._clock = clock
        self._changes = changes
        self._sales: dict[str, Sale] = {}
        self._announced_at: dict[str, float] = {}
        self._unsold_at: dict[str, float] = {}
        self._read_at = 0.0
        self._next_read: asyncio.Future[None] | None = None
        self._moments_noted_at = clock()
        self._next_moment: asyncio.TimerHandle | None = None
        self._read_now = asyncio.Event()
        self.trouble: str | None = None
        """Why the latest reading failed, None if it did not."""

    def __iter__(self) -> Iterator[Sale]:
        return iter(self._sales.values())

    def get(self, sku: str) -> Sale | None:
        """Return the sale if it is known."""
        return self._sales.get(sku)

    async def find(self, sku: str) -> Sale | None:
        """Return the sale; wait for the next reading if it is not known.

        All callers wait for the same reading. Raises `LedgerError` if it fails.
        """
        if sku not in self._sales:
            if self._next_read is None:
                self._next_read = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._next_read)
        return self._sales.get(sku)

    def unsold_at(self, sku: str) -> float:
        """Return the latest moment, monotonic, at which the ledger had no item of a sale as sold.

        It is minus infinity if some were sold at every reading.
        """
        return self._unsold_at.get(sku, -math.inf)

    def update_sold(self, told: Progress) -> None:
        """Take in how far the drain has sold a sale."""
        sale = self._sales.get(told.sku)
        if sale is not None:
            self._announced_at[told.sku] = time.monotonic()
            counts = _counts(told)
            if any(getattr(sale, name) != count for name, count in counts.items()):
                newer = self._sales[told.sku] = sale.but(**counts)
                self._note_change(sale, newer)

    @property
    def stale(self) -> bool:
        """Whether the database has not answered for a while."""
        return time.monotonic() - self._read_at > _STALE_SECONDS

    async def read(self) -> None:
        """Read all sales. Raises `LedgerError`."""
        waiting, self._next_read = self._next_read, None
        asked_at = time.monotonic()
        try:
            sales = await self._ledger.sales()
        except BaseException as error:
            known = error if isinstance(error, LedgerError) else LedgerUnavailable("not read")
            self.trouble = str(known)
            if waiting is not None:
                waiting.set_exception(known)
                waiting.exception()  # the request that asked may be gone
            raise
        read = {sale.sku: sale for sale in sales}
        for sku, announced_at in self._announced_at.items():
            # An announcement that came while the database read may be newer than its answer.
            if announced_at >= asked_at and sku in read and sku in self._sales:
                newer = self._sales[sku]
                read[sku] = replace(read[sku], **{name: getattr(newer, name) for name in _COUNTS})
        self._unsold_at.update(
            (sale.sku, asked_at)
            for sale in sales
            # Else orders may be decided though nothing is sold: they hold, or are cancelled.
            if sale.sold == 0 and not sale.has_holds and not sale.cancellable
        )
        before, self._sales = self._sales, read
        self._read_at = time.monotonic()
        self.trouble = None
        if waiting is not None:
            waiting.set_result(None)
        if read != before:
            for sku, sale in read.items():
                if sale != before.get(sku):
                    self._note_change(before.get(sku), sale)
        self._note_moments()

    def read_soon(self) -> None:
        """Read as soon as the event loop has time."""
        self._read_now.set()

    async def follow(self) -> None:
        """Keep reading."""
        try:
            while True:
                try:
                    await self.read()
                except LedgerError as error:
                    log.debug("sales not read", reason=str(error))
                with suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH_SECONDS):
                        await self._read_now.wait()
                self._read_now.clear()
        finally:
            if self._next_moment is not None:
                self._next_moment.cancel()

    def _note_change(self, before: Sale | None, sale: Sale) -> None:
        now = self._clock()
        other_state = before is None or sale_state(before, now) != sale_state(sale, now)
        self._changes.sale_changed(sale.sku, at_once=other_state)
        if before is not None and before.line_head != sale.line_head:
            self._changes.lines.note(sale.sku)

    def _note_moments(self) -> None:
        """Note the sales that opened or closed since the last call; come back for the next one."""
        now = self._clock()
        next_moment = math.inf
        for sale in self._sales.values():
            for moment in (sale.opens_at, sale.closes_at):
                if moment is None:
                    continue
                if moment > now:
                    next_moment = min(next_moment, moment)
                elif moment > self._moments_noted_at:
                    self._changes.sale_changed(sale.sku, at_once=True)
        self._moments_noted_at = now
        if self._next_moment is not None:
            self._next_moment.cancel()
            self._next_moment = None
        if next_moment < math.inf:
            # A timer may end a moment too early: then this finds the same moment again.
            self._next_moment = asyncio.get_running_loop().call_later(
                min(next_moment - now, _LONGEST_TIMER_SECONDS), self._note_moments
            )
