"""Publisher confirms of one channel: match delivery tags to futures. No I/O, no clock."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from flashsale.broker.port import BrokerUnavailable, Counts, QueueFull, Unroutable


@dataclass(slots=True)
class _Pending:
    future: asyncio.Future[None]
    deadline: float
    message_id: str


class Confirms:
    """The messages in flight on one channel.

    Tags count up from 1 on each channel. Confirms arrive in any order, for one tag or for
    `multiple` (https://www.rabbitmq.com/docs/confirms). A message past its deadline fails but stays
    in flight until its answer comes or the channel ends, so that the count is true.
    """

    def __init__(
        self, timeout: float, new_future: Callable[[], asyncio.Future[None]], counts: Counts
    ) -> None:
        """Fail a message after `timeout` seconds; add each answer to `counts`."""
        self._counts = counts
        self._timeout = timeout
        self._new_future = new_future
        self._pending: dict[int, _Pending] = {}  # in tag order, as it is filled in that order
        self._unexpired = 1  # every lower tag is answered or expired
        self._last_tag = 0
        self.refused = False
        """Whether the broker has refused a message."""

    def __len__(self) -> int:
        """Return the number of messages in flight."""
        return len(self._pending)

    @property
    def first(self) -> int:
        """The lowest tag without an answer."""
        return next(iter(self._pending), self._last_tag + 1)

    @property
    def last(self) -> int:
        """The tag of the latest message."""
        return self._last_tag

    def add(self, now: float, message_id: str) -> asyncio.Future[None]:
        """Register the next message of the channel; `now` is in the loop's seconds."""
        self._last_tag += 1
        future = self._new_future()
        self._pending[self._last_tag] = _Pending(future, now + self._timeout, message_id)
        return future

    def ack(self, tag: int, multiple: bool) -> None:
        """Confirm the message, with `multiple` all earlier ones, too."""
        for pending in self._pop(tag, multiple):
            if not pending.future.done():
                self._counts.confirmed += 1
                pending.future.set_result(None)

    def nack(self, tag: int, multiple: bool) -> None:
        """Refuse the message with `QueueFull`, with `multiple` all earlier ones, too.

        A nack gives no reason; in this topology it means a full queue.
        """
        self.refused = True
        for pending in self._pop(tag, multiple):
            if not pending.future.done():
                self._counts.refused += 1
                pending.future.set_exception(QueueFull("the queue is at its limit"))

    def returned(self, message_id: str, reason: str) -> None:
        """Fail a returned message with `Unroutable`. Ignore the ack that follows."""
        for pending in self._pending.values():
            if pending.message_id == message_id and not pending.future.done():
                self._counts.returned += 1
                pending.future.set_exception(Unroutable(reason))
                return

    def expire(self, now: float) -> int:
        """Fail messages past their deadline with `BrokerUnavailable`; return the count."""
        given_up = 0
        while self._unexpired <= self._last_tag:
            pending = self._pending.get(self._unexpired)
            if pending is not None:
                if pending.deadline > now:
                    break
                if not pending.future.done():
                    self._counts.unanswered += 1
                    pending.future.set_exception(BrokerUnavailable("no confirm in time"))
                    given_up += 1
            self._unexpired += 1
        return given_up

    def fail_all(self, reason: str) -> None:
        """Fail all messages in flight with `BrokerUnavailable`, as the channel is closed."""
        for pending in self._pending.values():
            if not pending.future.done():
                self._counts.unanswered += 1
                pending.future.set_exception(BrokerUnavailable(reason))
        self._pending.clear()

    def _pop(self, tag: int, multiple: bool) -> list[_Pending]:
        if not multiple:
            pending = self._pending.pop(tag, None)
            return [] if pending is None else [pending]
        popped = []
        while self._pending and (first := next(iter(self._pending))) <= tag:
            popped.append(self._pending.pop(first))
        return popped
