"""Make the deliveries of the table: claim those that are due, send them, record what came of it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from flashsale.domain.webhooks.deliveries import Attempt, Claimed
from flashsale.ledger import Claims, LedgerBusy, LedgerError, LedgerRefused, Room, WebhookQueue
from services.builtin.webhook.metrics import WebhookMetrics
from services.effect_recorder import retry_backoff
from services.waiting import first_of

log = structlog.get_logger()

Result = TypeVar("Result")

_LEASE_MARGIN_SECONDS = 45.0
# Other processes write deliveries without a word, so the table is looked at this often.
_POLL_SECONDS = 1.0
_POLL_WITHOUT_ENDPOINTS_SECONDS = 5.0
# The deliveries of handled events are recorded soon after a `poke`.
_POKE_SECONDS = 0.1
_GATHER_SECONDS = 0.01
_MOST_RECORDED = 500
_SHUTDOWN_SECONDS = 8.0
_GIVE_BACK_SECONDS = 2.0


class Client(Protocol):
    """Sends one delivery."""

    async def send(self, delivery: Claimed) -> Attempt:
        """Make a delivery. Whatever happens is an attempt, within the timeout."""


@dataclass(frozen=True)
class Limits:
    """How much one process does at a time."""

    each: int
    """The most deliveries to one endpoint."""
    total: int
    timeout_seconds: float


@dataclass(kw_only=True, eq=False)
class Sender:
    """Sends until it is stopped. Any number of senders, in any number of processes, share a table.

    A process that dies between an answer and its record leaves the delivery to others: after the
    lease they send it again, under the same webhook id.
    """

    queue: WebhookQueue
    client: Client
    limits: Limits
    metrics: WebhookMetrics
    clock: Callable[[], float]
    _woken: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _in_flight: dict[int, Claimed] = field(default_factory=dict, init=False)
    """What is claimed and not recorded."""
    _sending: Counter[str] = field(default_factory=Counter, init=False)
    """How many requests are open, by endpoint."""
    _made: list[Attempt] = field(default_factory=list, init=False)
    _some_made: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _none_in_flight: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def poke(self) -> None:
        """Look for deliveries soon, as some are about to be recorded."""
        asyncio.get_running_loop().call_later(_POKE_SECONDS, self._woken.set)

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`, and then finish what is in flight, within 8 s."""
        self._in_flight.clear()
        self._sending.clear()
        self._made.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                recording = tasks.create_task(self._record_all(), name="webhook records")
                sending: set[asyncio.Task[None]] = set()
                while not stop.is_set():
                    self._woken.clear()
                    claims = await self._claim(stop)
                    for delivery in claims.deliveries:
                        # If our lease ended, as after a halt of this process, the first goes on.
                        if delivery.id in self._in_flight:
                            continue
                        self._in_flight[delivery.id] = delivery
                        self._sending[delivery.endpoint_id] += 1
                        task = tasks.create_task(self._send(delivery))
                        sending.add(task)
                        task.add_done_callback(sending.discard)
                    await first_of(stop.wait(), self._woken.wait(), seconds=self._pause(claims))
                await first_of(self._all_recorded(), seconds=_SHUTDOWN_SECONDS)
                for task in (*sending, recording):
                    task.cancel()
        finally:
            await self._give_back()

    async def _claim(self, stop: asyncio.Event) -> Claims:
        # A database that does not keep up with the records slows down the claims.
        free = max(self.limits.total, _MOST_RECORDED) - len(self._made)
        total = min(self.limits.total, sum(self._sending.values()) + free)
        room = Room(+self._sending, self.limits.each, total)
        lease = self.limits.timeout_seconds + _LEASE_MARGIN_SECONDS
        nothing = Claims([], None, 1)
        claims = await self._with_patience(
            lambda: self.queue.claim(self.clock(), lease, room), stop
        )
        return nothing if claims is None else claims

    def _pause(self, claims: Claims) -> float:
        """Return how long to wait if nobody wakes the sender."""
        if claims.deliveries:
            return _POLL_SECONDS  # what is recorded wakes it
        if not claims.endpoints:
            return _POLL_WITHOUT_ENDPOINTS_SECONDS
        if claims.next_at is None:
            return _POLL_SECONDS
        left = claims.next_at - self.clock()
        # What is due already waits for another delivery.
        return min(left, _POLL_SECONDS) if left > 0 else _POLL_SECONDS

    async def _send(self, delivery: Claimed) -> None:
        try:
            attempt = await self.client.send(delivery)
        finally:
            self._sending[delivery.endpoint_id] -= 1
        self._made.append(attempt)
        self._some_made.set()
        asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._woken.set)

    async def _record_all(self) -> None:
        """Record attempts until cancelled, many in one transaction."""
        while True:
            await self._some_made.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            batch, self._made = self._made[:_MOST_RECORDED], self._made[_MOST_RECORDED:]
            if not self._made:
                self._some_made.clear()
            await self._record(batch)
            for attempt in batch:
                self._in_flight.pop(attempt.delivery.id, None)
            if not self._in_flight:
                self._none_in_flight.set()
            self._woken.set()

    async def _record(self, batch: list[Attempt]) -> None:
        """Record attempts together, or as many as can be if one of them is refused."""
        try:
            recorded = await self._with_patience(
                lambda: self.queue.record(batch, self.clock()), asyncio.Event()
            )
        except LedgerRefused as error:
            if len(batch) > 1:
                half = len(batch) // 2
                await self._record(batch[:half])
                await self._record(batch[half:])
                return
            # Its lease ends, and it is sent again.
            log.error(
                "an attempt of a webhook can't be recorded",
                delivery=batch[0].delivery.id,
                reason=str(error),
            )
            return
        self.metrics.attempted(batch)
        for endpoint_id in recorded.disabled if recorded is not None else ():
            log.error("webhook endpoint is disabled", endpoint=endpoint_id)

    async def _all_recorded(self) -> None:
        while self._in_flight:
            self._none_in_flight.clear()
            await self._none_in_flight.wait()

    async def _give_back(self) -> None:
        """Leave what was not finished to others, at once if the database answers."""
        left = list(self._in_flight.values())
        if not left:
            return
        try:
            async with asyncio.timeout(_GIVE_BACK_SECONDS):
                await self.queue.give_back(left, self.clock())
        except (LedgerError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            log.warning("webhooks wait for the end of their lease", reason=reason)

    async def _with_patience(
        self, call: Callable[[], Awaitable[Result]], stop: asyncio.Event
    ) -> Result | None:
        """Call until the database answers, or until `stop`. Raises `LedgerRefused`."""
        backoff = retry_backoff()
        while not stop.is_set():
            try:
                return await call()
            except LedgerRefused:
                raise
            except LedgerError as error:
                # The commit may have happened. A repeated record changes no delivery.
                if not isinstance(error, LedgerBusy):
                    log.warning("webhooks wait", reason=str(error))
            await asyncio.sleep(backoff.next())
        return None
