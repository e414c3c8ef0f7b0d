"""Publisher confirms of one channel: delivery tags matched to futures. No I/O, no clock."""

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
    """Every message published on a channel, until the broker has answered for it.

    Tags count up from 1 in each channel and arrive in any order, one by one or `multiple` at
    once (https://www.rabbitmq.com/docs/confirms). A message past its deadline is given up, but
    keeps its place, so that the number in flight is true, until its answer or the channel's end.
    """

    def __init__(
        self, timeout: float, new_future: Callable[[], asyncio.Future[None]], counts: Counts
    ) -> None:
        """Give each message `timeout` seconds; add to `counts`."""
        self._counts = counts
        self._timeout = timeout
        self._new_future = new_future
        self._pending: dict[int, _Pending] = {}  # in tag order, as it is filled in that order
        self._unexpired = 1  # no tag below it is still waited for
        self._last_tag = 0
        self.refused = False
        """Whether the broker has refused any of them."""

    def __len__(self) -> int:
        """How many messages are in flight."""
        return len(self._pending)

    @property
    def first(self) -> int:
        """The lowest tag that the broker has not answered for."""
        return next(iter(self._pending), self._last_tag + 1)

    @property
    def last(self) -> int:
        """The tag of the message that was published last."""
        return self._last_tag

    def add(self, now: float, message_id: str) -> asyncio.Future[None]:
        """Register the message that is published next on the channel."""
        self._last_tag += 1
        future = self._new_future()
        self._pending[self._last_tag] = _Pending(future, now + self._timeout, message_id)
        return future

    def ack(self, tag: int, multiple: bool) -> None:
        """The broker has taken the message, and with `multiple` all before it."""
        for pending in self._pop(tag, multiple):
            if not pending.future.done():
                self._counts.confirmed += 1
                pending.future.set_result(None)

    def nack(self, tag: int, multiple: bool) -> None:
        """The broker has refused. A nack gives no reason; the one we provoke is a full queue."""
        self.refused = True
        for pending in self._pop(tag, multiple):
            if not pending.future.done():
                self._counts.refused += 1
                pending.future.set_exception(QueueFull("the queue is at its limit"))

    def returned(self, message_id: str, reason: str) -> None:
        """The broker could not route the message. Its ack follows and means nothing."""
        for pending in self._pending.values():
            if pending.message_id == message_id and not pending.future.done():
                self._counts.returned += 1
                pending.future.set_exception(Unroutable(reason))
                return

    def expire(self, now: float) -> int:
        """Give up on messages past their deadline; how many."""
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
        """The channel is gone: nobody will ever answer for what is in flight."""
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
