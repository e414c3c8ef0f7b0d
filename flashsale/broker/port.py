"""The broker port: the operations that gateway, consumer and services need, and their errors."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec

from flashsale.broker.topology import Topology
from flashsale.domain.errors import FlashsaleError
from flashsale.messages.headers import Headers


class BrokerError(FlashsaleError):
    """Base class of the errors of a broker."""


class QueueFull(BrokerError):
    """The queue is at its limit. It refused the message, which is in no queue."""


class Unroutable(BrokerError):
    """No queue is bound for the message, which is in no queue."""


class BrokerUnavailable(BrokerError):
    """The broker did not answer. A message that was sent may or may not be in the queue."""


class AccessRefused(BrokerUnavailable):
    """The broker does not let this user in, or not do this. The message says what to change."""


class BrokerRefused(BrokerError):
    """The broker refused a declaration for a reason of its own, which the message has."""


class QueueInUse(BrokerRefused):
    """A process consumes a queue that nobody may use at this moment."""


class TopologyMismatch(BrokerError):
    """The broker has a queue or exchange of this name with other arguments."""


StartTask = Callable[[str, Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]]
"""Starts endless work under a name; cancelling the returned task ends the work."""


def start_unsupervised(
    name: str, work: Callable[[], Coroutine[Any, Any, None]]
) -> asyncio.Task[None]:
    """Start work without supervision, for short commands."""
    return asyncio.create_task(work(), name=name)


class Delivery(msgspec.Struct, frozen=True, eq=False):
    """An unacknowledged message. `number` counts up within its `Deliveries`."""

    number: int
    body: bytes
    message_id: str = ""
    headers: Headers = msgspec.field(default_factory=dict)
    redelivered: bool = False


@dataclass(frozen=True)
class Depth:
    """The number of ready messages in a queue, unacknowledged ones excluded, and of consumers."""

    ready: int
    consumers: int
    unacked: int | None = None
    """Delivered and not acknowledged. None: the broker does not say it."""


@dataclass
class Counts:
    """Published messages since the start by the broker's answer, and reconnects."""

    confirmed: int = 0
    refused: int = 0
    returned: int = 0
    unanswered: int = 0
    """The answer did not come in time or the connection was lost: the outcome is unknown."""
    reconnects: int = 0


class Deliveries(ABC):
    """A running consumer of one queue. Its end requeues unacknowledged messages in order."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of messages that have arrived and are not taken."""

    @abstractmethod
    async def wait(self) -> None:
        """Return once a message has arrived. Raises `BrokerUnavailable` if none can come."""

    @abstractmethod
    def take(self, at_most: int) -> Sequence[Delivery]:
        """Take up to `at_most` messages, the oldest first."""

    @abstractmethod
    def ack(self, delivery: Delivery) -> None:
        """Acknowledge only this delivery."""

    @abstractmethod
    def ack_through(self, delivery: Delivery) -> None:
        """Acknowledge this delivery and every earlier one."""


class Publisher(ABC):
    """The part of the port that publishes messages."""

    @abstractmethod
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
        """Publish a persistent message; return a future that ends with the broker's confirm.

        With the exchange `""` the message goes to the queue that the routing key names. The call
        or its future raises `QueueFull`, `Unroutable` (if `mandatory`) or `BrokerUnavailable`.
        """


class Broker(Publisher):
    """A connection to a broker, on which the topology is declared. Enter it to connect.

    Entering raises `BrokerUnavailable`, `BrokerRefused` or `TopologyMismatch`. It reconnects by
    itself if the connection is lost later.
    """

    def __init__(self) -> None:
        self.counts = Counts()
        self.warnings: Sequence[str] = ()
        """What is set up on the broker that endangers accepted messages."""

    @abstractmethod
    async def extend(self, topology: Topology) -> None:
        """Declare this topology, too. Raises what entering raises."""

    @abstractmethod
    def consume(self, queue: str, prefetch: int) -> AbstractAsyncContextManager[Deliveries]:
        """Consume a queue, at most `prefetch` unacknowledged. Raises `BrokerUnavailable`.

        If a bounded queue has another limit or type than the topology, its consumer changes it: the
        queue takes nothing until all that it holds is acknowledged. So only one process may consume
        a bounded queue.
        """

    @abstractmethod
    def subscribe(self, exchange: str) -> AbstractAsyncContextManager[Deliveries]:
        """Receive what is published to a fanout exchange while the context is entered.

        Messages need no acknowledgement. A subscriber that is far behind loses the oldest ones.
        Raises `BrokerUnavailable`.
        """

    @abstractmethod
    async def depth(self, queue: str) -> Depth:
        """Return the depth of a queue. Raises `BrokerUnavailable`."""

    @abstractmethod
    def refuses_late(self, queue: str) -> bool:
        """Return whether the queue, once at its limit, still takes messages that are in flight."""

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """The number of published messages without a confirm."""

    @property
    @abstractmethod
    def blocked(self) -> bool:
        """Whether the broker blocks publishers because it is short of memory or disk."""

    @property
    @abstractmethod
    def trouble(self) -> str | None:
        """The reason why publishing can't work now; None if it can."""

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
