"""The broker port: what gateway, consumer and services ask of a broker, and how it may refuse."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from flashsale.broker.topology import Topology
from flashsale.domain.errors import FlashsaleError
from flashsale.messages.headers import Headers


class BrokerError(FlashsaleError):
    """A broker did not do what it was asked."""


class QueueFull(BrokerError):
    """The queue is at its limit: the message was refused and is nowhere."""


class Unroutable(BrokerError):
    """No queue is bound for the message: it is nowhere."""


class BrokerUnavailable(BrokerError):
    """No answer from the broker: the message may or may not be in the queue."""


class TopologyMismatch(BrokerError):
    """The broker holds a queue or exchange of this name with other arguments."""


StartTask = Callable[[str, Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]]
"""Start work that runs for ever, under a name; cancelling the task ends the work."""


def start_unsupervised(
    name: str, work: Callable[[], Coroutine[Any, Any, None]]
) -> asyncio.Task[None]:
    """Start work that nobody restarts: right for a command that lives for a moment."""
    return asyncio.create_task(work(), name=name)


@dataclass(frozen=True, eq=False, slots=True)
class Delivery:
    """A message in hand, unacknowledged. `number` counts up within its `Deliveries`."""

    number: int
    body: bytes
    message_id: str = ""
    headers: Headers = field(default_factory=dict)
    redelivered: bool = False


@dataclass(frozen=True)
class Depth:
    """How many messages wait in a queue, delivered ones not counted, and who reads it."""

    ready: int
    consumers: int


@dataclass
class Counts:
    """What became of the messages that were published, since the start."""

    confirmed: int = 0
    refused: int = 0
    returned: int = 0
    unanswered: int = 0
    """No answer in time, or the connection lost: taken or not, nobody knows."""
    reconnects: int = 0


class Deliveries(ABC):
    """A running consumer of one queue. What is not acknowledged at its end goes back in order."""

    @abstractmethod
    def __len__(self) -> int:
        """How many messages are at hand."""

    @abstractmethod
    async def wait(self) -> None:
        """Return once a message is at hand. Raises `BrokerUnavailable` when none can come."""

    @abstractmethod
    def take(self, at_most: int) -> Sequence[Delivery]:
        """Take the oldest messages at hand."""

    @abstractmethod
    def ack(self, delivery: Delivery) -> None:
        """Acknowledge this delivery alone."""

    @abstractmethod
    def ack_through(self, delivery: Delivery) -> None:
        """Acknowledge this delivery and every earlier one."""


class Publisher(ABC):
    """The part of the port that puts messages in."""

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
        """Publish a persistent message; the future ends once the broker has confirmed it.

        The exchange `""` puts it in the queue that the routing key names. Either may raise
        `QueueFull`, `Unroutable` (if `mandatory`) or `BrokerUnavailable`.
        """


class Broker(Publisher):
    """A connection to a broker on which the topology stands. Enter it to connect.

    Entering raises `BrokerUnavailable` or `TopologyMismatch`; later losses are mended by itself.
    """

    def __init__(self) -> None:
        self.counts = Counts()

    @abstractmethod
    async def extend(self, topology: Topology) -> None:
        """Have this stand on the broker as well. Raises `TopologyMismatch`, `BrokerUnavailable`."""

    @abstractmethod
    def consume(self, queue: str, prefetch: int) -> AbstractAsyncContextManager[Deliveries]:
        """Consume a queue with at most `prefetch` unacknowledged. Raises `BrokerUnavailable`."""

    @abstractmethod
    def subscribe(self, exchange: str) -> AbstractAsyncContextManager[Deliveries]:
        """Hear what is published to a fanout exchange from now on, for as long as it is entered.

        Nothing is acknowledged: a listener that falls far behind misses the oldest. Raises
        `BrokerUnavailable`.
        """

    @abstractmethod
    async def depth(self, queue: str) -> Depth:
        """Count a queue. Raises `BrokerUnavailable`."""

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """How many messages wait for their confirm."""

    @property
    @abstractmethod
    def blocked(self) -> bool:
        """Whether the broker has asked publishers to hold back, as it is short of something."""

    @property
    @abstractmethod
    def trouble(self) -> str | None:
        """Why publishing can't work now, in words; None if it can."""

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
