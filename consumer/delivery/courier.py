"""The courier: brings orders to the receiver, again and again if need be."""

import asyncio
import heapq
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from consumer.delivery.attempt_gate import AttemptGate, Begun
from consumer.delivery.shipment import Shipment
from flashsale.domain.delivery.answers import Answer, Busy, Trouble, TryAgain, Undeliverable
from flashsale.domain.delivery.receiver import Receiver
from flashsale.domain.order_ids import OrderId

_RECHECK_SECONDS = 0.05


class Courier:
    """Sends what it is given: first attempts in that order, and others as soon as they are due.

    Orders that wait for their next attempt hold up no others. What it can do nothing more for is
    handed on by `ended`, in any order.
    """

    def __init__(
        self,
        receiver: Receiver,
        gate: AttemptGate,
        *,
        concurrency: int,
        size: int,
        may_send: Callable[[float], bool],
        ended: Callable[[Shipment], None],
    ) -> None:
        """Send requests of at most `size` orders, at most `concurrency` at once.

        `may_send` is asked right before each attempt, with the moment of the monotonic clock.
        """
        self._receiver = receiver
        self._gate = gate
        self._concurrency = self._free = concurrency
        self._size = size
        self._may_send = may_send
        self._ended = ended
        self._first: deque[Shipment] = deque()
        self._later: list[tuple[float, int, Shipment]] = []
        self._due: deque[Shipment] = deque()
        self._number = 0
        self._requests: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._halted = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.in_hand: dict[OrderId, Shipment] = {}
        """The orders that it was given, until they are taken out, by id."""

    @property
    def unsent(self) -> int:
        """The orders that wait for their first attempt."""
        return len(self._first)

    def add(self, shipments: Iterable[Shipment]) -> None:
        """Take orders. None of them may be in hand."""
        for shipment in shipments:
            self._number += 1
            shipment.number = self._number
            self.in_hand[shipment.id] = shipment
            self._first.append(shipment)
        self._gate.wake()

    def halt(self) -> None:
        """Begin no more attempts. Those in flight go on."""
        self._halted = True
        self._gate.wake()

    @property
    def idle(self) -> bool:
        """Whether no attempt is in flight."""
        return self._idle.is_set()

    async def until_idle(self) -> None:
        """Wait until no attempt is in flight."""
        await self._idle.wait()

    async def run(self) -> None:
        """Send until cancelled. Requests in flight are given up then."""
        try:
            while True:
                if self._failure is not None:
                    raise self._failure
                await self._gate.pause(self._send(time.monotonic()))
        finally:
            for request in self._requests:
                request.cancel()
            await asyncio.gather(*self._requests, return_exceptions=True)

    def _send(self, now: float) -> float:
        """Begin the requests that may begin now; return the seconds until the next may."""
        while self._free and not self._halted:
            ready = self._ready(now)
            if not ready:
                return max(0.0, self._later[0][0] - now) if self._later else math.inf
            if not self._may_send(now):
                return _RECHECK_SECONDS
            delay = self._gate.delay(now, ready)
            if delay > 0:
                return delay
            begun = self._gate.begin(min(ready, self._free * self._size))
            if not begun.count:
                return _RECHECK_SECONDS
            self._load(begun)
            now = time.monotonic()
        return math.inf

    def _ready(self, now: float) -> int:
        """Return how many orders could be sent now."""
        while self._later and self._later[0][0] <= now:
            self._due.append(heapq.heappop(self._later)[2])
        return len(self._due) + len(self._first)

    def _load(self, begun: Begun) -> None:
        """Fill requests with the attempts that have begun."""
        left = begun.count
        while left and self._free:
            shipments = self._next(min(left, self._size), begun.probe)
            left -= len(shipments)
            self._start(Begun(len(shipments), begun.at, begun.probe), shipments)
        if left:  # orders that go alone have used up the requests
            self._gate.end(begun, (), left)

    def _next(self, most: int, probe: bool) -> list[Shipment]:
        """Return the orders of one request: the retries that are due, then the first attempts.

        A probe is another order each time, first attempts before retries: a failed probe is due
        again at once, and one order that the receiver can't take would be the only one it is sent.
        """
        chosen: list[Shipment] = []
        sources = (self._first, self._due) if probe else (self._due, self._first)
        for source in sources:
            while source and len(chosen) < most:
                if source[0].alone:
                    return chosen or [source.popleft()]
                chosen.append(source.popleft())
        return chosen

    def _start(self, begun: Begun, shipments: Sequence[Shipment]) -> None:
        self._free -= 1
        self._idle.clear()
        request = asyncio.create_task(self._request(begun, shipments), name="request")
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)

    async def _request(self, begun: Begun, shipments: Sequence[Shipment]) -> None:
        answers: Sequence[Answer] = ()
        try:
            answers = await self._receiver.send([shipment.to_send() for shipment in shipments])
        except Exception as error:  # a defect: whatever a receiver does is an answer
            self._failure = error
        finally:
            self._free += 1
            self._take_in(shipments, answers, begun.probe)
            self._gate.end(begun, answers, len(shipments))
            if self._free == self._concurrency:
                self._idle.set()

    def _take_in(
        self, shipments: Sequence[Shipment], answers: Sequence[Answer], probe: bool
    ) -> None:
        whole = len(shipments) > 1 and all(
            isinstance(answer, Undeliverable) or _still_at_first(answer) for answer in answers
        )
        for shipment, answer in zip(shipments, answers, strict=False):
            match answer:
                case Busy():
                    self._again(shipment, -math.inf)
                case TryAgain():
                    # A receiver that says something about this order is not a broken one.
                    counts = not probe or _still_at_first(answer)
                    after = shipment.fail(answer, counts=counts)
                    if isinstance(after, Undeliverable):
                        self._hand_on(shipment, after, more=0)
                    else:
                        self._again(shipment, after)
                case Undeliverable() if whole:
                    # A single order may have made the receiver refuse the request: ask for each.
                    shipment.alone = True
                    self._again(shipment, -math.inf)
                case _:
                    self._hand_on(shipment, answer)

    def _again(self, shipment: Shipment, seconds: float) -> None:
        # What is due at once goes in the order of the queue.
        heapq.heappush(self._later, (time.monotonic() + seconds, shipment.number, shipment))

    def _hand_on(self, shipment: Shipment, answer: Answer, more: int = 1) -> None:
        assert not isinstance(answer, Busy | TryAgain)  # noqa: S101 by the caller
        shipment.finish(answer, more=more)
        self._ended(shipment)


def _still_at_first(answer: Answer) -> bool:
    return isinstance(answer, TryAgain) and answer.trouble is Trouble.STILL_AT_FIRST
