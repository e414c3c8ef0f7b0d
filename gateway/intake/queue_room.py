"""Keep a queue to its limit that refuses too late."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from flashsale.broker import Broker, BrokerError, Publisher, QueueFull
from flashsale.messages.headers import Headers
from gateway.state.arrivals import OtherGateways
from gateway.state.backlog import Backlog

# How far the queue may exceed its limit: by what all gateways have in flight near the limit.
_EXCESS_SHARE = 0.02
# Another gateway may use up the rest of an older, larger share.
_SURE_SHARE = 0.5
_MOST_HELD = 1000
_HOLD_SECONDS = 0.25
_LOOK_SECONDS = 0.001


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A message that waits until fewer are in flight."""

    publish: Callable[[], asyncio.Future[None]]
    confirm: asyncio.Future[None]
    give_up_at: float


class QueueRoom(Publisher):
    """Wraps the publisher of orders, and bounds what is in flight while the queue is nearly full.

    A quorum queue tells channels that it is full after it is full, and takes what is in flight
    until then. So messages are published freely only while the latest count of the queue shows that
    they fit, if the other gateways publish as many. After that a gateway has no more than its share
    of 2 % of the limit in flight. More messages are held back for a moment. They are refused as
    soon as the queue refuses one.
    """

    def __init__(self, broker: Broker, limit: int, backlog: Backlog, others: OtherGateways) -> None:
        """`limit` is that of the queue whose messages `backlog` counts."""
        self._broker = broker
        self._limit = limit
        self._backlog = backlog
        self._others = others
        self._counted = -1
        self._free = 0
        """How many messages may be published without a look at what is in flight."""
        self._window = 1
        """The most in flight after that."""
        self._held: deque[_Held] = deque()
        self._loop = asyncio.get_running_loop()

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        message_id: str,
        headers: Headers | None = None,
        mandatory: bool = True,
    ) -> asyncio.Future[None]:
        """Publish a message now or within 0.25 s. See `Publisher.publish`."""
        if self._counted != self._backlog.counted:
            self._share_room()
        if self._held or (self._free <= 0 and self._broker.in_flight >= self._window):
            return self._hold(
                partial(
                    self._broker.publish,
                    exchange,
                    routing_key,
                    body,
                    message_id=message_id,
                    headers=headers,
                    mandatory=mandatory,
                )
            )
        self._free -= 1
        return self._broker.publish(
            exchange,
            routing_key,
            body,
            message_id=message_id,
            headers=headers,
            mandatory=mandatory,
        )

    def _share_room(self) -> None:
        """Take this gateway's share of the room that the latest count of the queue shows."""
        self._counted = self._backlog.counted
        gateways = self._others.count() + 1
        room = (self._limit - self._backlog.ready) / gateways
        # What is in flight may be in the count, or not yet.
        self._free = int(room * _SURE_SHARE) - self._broker.in_flight
        self._window = max(1, int(self._limit * _EXCESS_SHARE / gateways))

    def _hold(self, publish: Callable[[], asyncio.Future[None]]) -> asyncio.Future[None]:
        if len(self._held) >= _MOST_HELD:
            raise QueueFull("the queue is nearly full")
        confirm = self._loop.create_future()
        if not self._held:
            self._loop.call_later(_LOOK_SECONDS, self._publish_held)
        self._held.append(_Held(publish, confirm, self._loop.time() + _HOLD_SECONDS))
        return confirm

    def _publish_held(self) -> None:
        if self._counted != self._backlog.counted:
            self._share_room()
        now = self._loop.time()
        while self._held:
            held = self._held[0]
            if held.confirm.done():  # nobody waits for it any more
                self._held.popleft()
            elif self._free > 0 or self._broker.in_flight < self._window:
                self._held.popleft()
                self._free -= 1
                self._publish_one(held)
            elif held.give_up_at <= now:
                self._held.popleft()
                held.confirm.set_exception(QueueFull("the queue is nearly full"))
            else:
                self._loop.call_later(_LOOK_SECONDS, self._publish_held)
                return

    def _publish_one(self, held: _Held) -> None:
        def answered(confirm: asyncio.Future[None]) -> None:
            error = confirm.exception()
            if isinstance(error, QueueFull):
                self._refuse_held(error)
            if not held.confirm.done():
                held.confirm.set_exception(error) if error else held.confirm.set_result(None)

        try:
            held.publish().add_done_callback(answered)
        except BrokerError as error:
            held.confirm.set_exception(error)

    def _refuse_held(self, error: QueueFull) -> None:
        """Refuse what is held: a full quorum queue refuses all until a fifth of it has drained."""
        while self._held:
            held = self._held.popleft()
            if not held.confirm.done():
                held.confirm.set_exception(QueueFull(str(error)))
