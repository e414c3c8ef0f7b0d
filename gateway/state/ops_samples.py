"""The sale second by second, as all gateways see it: what the operator's page draws."""

import asyncio
import time
from collections import deque

import msgspec

from flashsale.messages.announcements import Arrivals
from flashsale.observability.gateway_metrics import RequestCounts
from gateway.state.announcements import Hearing
from gateway.state.arrivals import KEPT_SECONDS, Traffic
from gateway.state.backlog import Backlog
from gateway.state.sales import Catalogue

# By then every gateway has told of its second.
_SETTLED_SECONDS = 1


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """A second that ends at `at`, in Unix seconds. Orders a second, and levels at its end."""

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
        self,
        requests: RequestCounts,
        traffic: Traffic,
        backlog: Backlog,
        hearing: Hearing,
        catalogue: Catalogue,
    ) -> None:
        self._requests = requests
        self._traffic = traffic
        self._backlog = backlog
        self._hearing = hearing
        self._catalogue = catalogue
        self._levels: deque[tuple[int, int, int, int]] = deque(maxlen=KEPT_SECONDS)
        self._before = (0, 0, 0, 0, 0)

    def after(self, moment: int) -> list[Sample]:
        """The samples of later seconds, as far as all gateways have told of them."""
        settled = time.time() - _SETTLED_SECONDS
        return [
            Sample(at, *self._traffic.at(at), decided, backlog, left)
            for at, decided, backlog, left in self._levels
            if moment < at <= settled
        ]

    async def follow(self) -> None:
        """Keep sampling, at the turn of each second."""
        due = int(time.time()) + 1
        while True:
            if (early := due - time.time()) > 0:
                # A sleep may end a moment early: a second is over when the clock says so.
                await asyncio.sleep(early)
                continue
            now = int(time.time())
            self._sample(due, now)
            due = now + 1

    def _sample(self, first: int, last: int) -> None:
        """Sample the seconds that end from `first` to `last`: several, if a busy loop is late."""
        answers = self._requests.of("POST", "/orders")
        accepted, full = answers.pop(202, 0), answers.pop(503, 0)
        away = sum(answers.values())
        totals = (accepted + full + away, accepted, full, away, self._hearing.decided)
        news = [total - before for total, before in zip(totals, self._before, strict=True)]
        self._before = totals
        left = sum(sale.remaining for sale in self._catalogue)
        seconds = last - first + 1
        for number, at in enumerate(range(first, last + 1)):
            *flow, decided = (_share(count, seconds, number) for count in news)
            self._levels.append((at, decided, self._backlog.ready, left))
            if any(flow):
                self._hearing.tell_arrivals(Arrivals(at, *flow))


def _share(count: int, seconds: int, number: int) -> int:
    """Of a count over so many seconds the share of one, all shares together being the count."""
    return count * (number + 1) // seconds - count * number // seconds
