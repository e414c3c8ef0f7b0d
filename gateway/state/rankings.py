"""The top buyers of each sale, read at most once a second, however many ask."""

import asyncio
import time
from dataclasses import dataclass

from flashsale.ledger import Buyer, RankingQuery
from flashsale.ledger import Rankings as LedgerRankings

MOST_RANKED = 100
_FRESH_SECONDS = 1.0


@dataclass(frozen=True)
class _Read:
    at: float
    buyers: asyncio.Future[list[Buyer]]


class Rankings:
    """What was read of each sale last. Ask only for sales that there are."""

    def __init__(self, ledger: LedgerRankings, query: RankingQuery | None) -> None:
        """Ask by this query; without one, as no service ranks buyers, there is nobody."""
        self._ledger = ledger
        self._query = query
        self._read: dict[str, _Read] = {}

    async def top(self, sku: str) -> list[Buyer]:
        """The top buyers, a second old at the most. Raises `LedgerError`."""
        if self._query is None:
            return []
        read = self._read.get(sku)
        if read is None or time.monotonic() - read.at > _FRESH_SECONDS:
            # A task of its own: whoever asked first may leave before the answer is there.
            asked = asyncio.ensure_future(self._ledger.top_buyers(self._query, sku, MOST_RANKED))
            asked.add_done_callback(_heard)
            read = self._read[sku] = _Read(time.monotonic(), asked)
        return await asyncio.shield(read.buyers)


def _heard(asked: asyncio.Future[list[Buyer]]) -> None:
    if not asked.cancelled():
        asked.exception()  # who asked hears of it; nobody may be left who does
