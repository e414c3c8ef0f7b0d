"""The sale second by second, as all gateways see it: the data of the operator's charts."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from flashsale.messages.announcements import Arrivals
from flashsale.observability.gateway_metrics import RequestCounts
from gateway.state.announcements import Announcements
from gateway.state.arrivals import KEPT_SECONDS, ArrivalsBySecond
from gateway.state.backlog import Backlog
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.sales import KnownSales

# After this time every gateway has announced its arrivals of a second.
_SETTLED_SECONDS = 1

_Levels = tuple[int, int, int, int, int, Mapping[str, int]]
"""A moment, and the fields of a sample from `decided` on."""


class OpsSample(msgspec.Struct, frozen=True, array_like=True):
    """A second that ends at `at`, in Unix seconds. Orders a second, and levels at its end."""

    at: int
    arrived: int
    accepted: int
    queue_full: int
    turned_away: int
    decided: int
    backlog: int
    stock_left: int
    drain_limit: int
    left: Mapping[str, int]
    """The stock that is left of each sale, by sku."""


@dataclass(frozen=True)
class SampleSources:
    """What is sampled."""

    requests: RequestCounts
    arrivals: ArrivalsBySecond
    backlog: Backlog
    announcements: Announcements
    sales: KnownSales
    drain: KnownDrain


class OpsSamples:
    """The samples of the last quarter of an hour."""

    def __init__(self, sources: SampleSources) -> None:
        self._sources = sources
        self._levels: deque[_Levels] = deque(maxlen=KEPT_SECONDS)
        self._left: Mapping[str, int] = {}
        self._totals = (0, 0, 0, 0, 0)

    def after(self, moment: int) -> list[OpsSample]:
        """Return the samples of later seconds that all gateways have announced.

        `moment` is in Unix seconds.
        """
        settled = time.time() - _SETTLED_SECONDS
        return [
            OpsSample(at, *self._sources.arrivals.at(at), decided, backlog, total, limit, left)
            for at, decided, backlog, total, limit, left in self._levels
            if moment < at <= settled
        ]

    async def follow(self) -> None:
        """Keep sampling at the end of each second."""
        due = int(time.time()) + 1
        while True:
            if (early := due - time.time()) > 0:
                # A sleep may end a moment early, but a second ends by the clock.
                await asyncio.sleep(early)
                continue
            now = int(time.time())
            self._sample(due, now)
            due = now + 1

    def _sample(self, first: int, last: int) -> None:
        """Sample the seconds that end from `first` to `last`: several, if a busy loop is late."""
        sources = self._sources
        answers = sources.requests.of("POST", "/orders")
        accepted, full = answers.pop(202, 0), answers.pop(503, 0)
        away = sum(answers.values())
        totals = (accepted + full + away, accepted, full, away, sources.announcements.decided)
        new = [total - before for total, before in zip(totals, self._totals, strict=True)]
        self._totals = totals
        # Nobody here knows what is left of a stock of the shop.
        left = {sale.sku: n for sale in sources.sales if (n := sale.remaining) is not None}
        if left != self._left:  # or many samples share one
            self._left = left
        limit = 0 if sources.drain.paused else sources.drain.drain_rate
        levels = (sources.backlog.ready, sum(left.values()), limit, self._left)
        seconds = last - first + 1
        for number, at in enumerate(range(first, last + 1)):
            *flow, decided = (_share(count, seconds, number) for count in new)
            self._levels.append((at, decided, *levels))
            if any(flow):
                sources.announcements.announce_arrivals(Arrivals(at, *flow))


def _share(count: int, seconds: int, number: int) -> int:
    """Return one second's share of a count over several; all shares add up to the count."""
    return count * (number + 1) // seconds - count * number // seconds
