"""The sales, kept in memory, so that a flood of requests reads none from the database."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import structlog

from flashsale.domain.sales import Sale
from flashsale.ledger import LedgerError, Sales

log = structlog.get_logger()

REFRESH_SECONDS = 0.2
_STALE_SECONDS = 3


class Catalogue:
    """All sales as they were at most `REFRESH_SECONDS` ago, as long as the database answers."""

    def __init__(self, ledger: Sales) -> None:
        self._ledger = ledger
        self._sales: dict[str, Sale] = {}
        self._heard_at: dict[str, float] = {}
        self._read_at = 0.0
        self._next_read: asyncio.Future[None] | None = None
        self.trouble: str | None = None

    def __iter__(self) -> Iterator[Sale]:
        return iter(self._sales.values())

    def get(self, sku: str) -> Sale | None:
        """The sale as it was read last."""
        return self._sales.get(sku)

    async def find(self, sku: str) -> Sale | None:
        """The sale; one that is not known waits for the next reading, which all wait for at once.

        Raises `LedgerError` if it could not be read.
        """
        if sku not in self._sales:
            if self._next_read is None:
                self._next_read = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._next_read)
        return self._sales.get(sku)

    def heard(self, sku: str, stock: int, sold: int) -> None:
        """The drain says how far a sale is sold."""
        sale = self._sales.get(sku)
        if sale is not None:
            self._sales[sku] = replace(sale, stock=stock, sold=sold)
            self._heard_at[sku] = time.monotonic()

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
        except LedgerError as error:
            self.trouble = str(error)
            if waiting is not None:
                waiting.set_exception(error)
            raise
        read = {sale.sku: sale for sale in sales}
        for sku, heard_at in self._heard_at.items():
            # Said while the answer was on its way: the answer may be older.
            if heard_at >= asked_at and sku in read and sku in self._sales:
                newer = self._sales[sku]
                read[sku] = replace(read[sku], stock=newer.stock, sold=newer.sold)
        self._sales = read
        self._read_at = time.monotonic()
        self.trouble = None
        if waiting is not None:
            waiting.set_result(None)

    async def follow(self) -> None:
        """Keep reading."""
        while True:
            try:
                await self.read()
            except LedgerError as error:
                log.debug("sales not read", reason=str(error))
            await asyncio.sleep(REFRESH_SECONDS)
