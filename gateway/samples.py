"""The sale second by second, as this gateway sees it: what the operator's page draws."""

import asyncio
import time
from collections import deque

import msgspec

from flashsale.metrics import RequestCounts
from gateway.backlog import Backlog
from gateway.catalogue import Catalogue
from gateway.hearing import Hearing

KEPT_SECONDS = 900


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """A second that ends at `at`, in Unix seconds. Orders a second, and levels at its end.

    What arrived, was accepted and was refused is this gateway's; the rest is everybody's.
    """

    at: int
    arrived: int
    accepted: int
    queue_full: int
    turned_away: int
    decided: int
    backlog: int
    stock_left: int


class Samples:
    """The last quarter of an hour."""

    def __init__(
        self, requests: RequestCounts, backlog: Backlog, hearing: Hearing, catalogue: Catalogue
    ) -> None:
        self._requests = requests
        self._backlog = backlog
        self._hearing = hearing
        self._catalogue = catalogue
        self._kept: deque[Sample] = deque(maxlen=KEPT_SECONDS)
        self._before = (0, 0, 0, 0, 0)
        self._sampled_at = time.monotonic()

    def after(self, moment: int) -> list[Sample]:
        """The samples of later seconds."""
        return [sample for sample in self._kept if sample.at > moment]

    async def follow(self) -> None:
        """Keep sampling, at the turn of each second."""
        due = int(time.time()) + 1
        while True:
            if (early := due - time.time()) > 0:
                # A sleep may end a moment early: a second is over when the clock says so.
                await asyncio.sleep(early)
                continue
            self._sample(due)
            due = max(due, int(time.time())) + 1

    def _sample(self, at: int) -> None:
        answers = self._requests.of("POST", "/orders")
        accepted, full = answers.pop(202, 0), answers.pop(503, 0)
        away = sum(answers.values())
        totals = (accepted + full + away, accepted, full, away, self._hearing.decided)
        # A busy loop comes late, and what came meanwhile is not of that second alone.
        now = time.monotonic()
        seconds = max(1.0, now - self._sampled_at)
        arrived, accepted, full, away, decided = (
            round((total - before) / seconds)
            for total, before in zip(totals, self._before, strict=True)
        )
        self._before, self._sampled_at = totals, now
        left = sum(sale.remaining for sale in self._catalogue)
        self._kept.append(
            Sample(at, arrived, accepted, full, away, decided, self._backlog.ready, left)
        )
