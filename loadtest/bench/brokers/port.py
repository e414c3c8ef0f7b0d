"""The part of a broker that a queue of orders needs: publish, take, ack, depth."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any


class Full(Exception):
    """The queue is at its bound. It refused the order."""


class Lost(Exception):
    """The connection to the server was lost. Whether the queue has the order is unknown."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An order in hand. `tag` is what the broker knows it by."""

    tag: Any
    body: bytes


class OrderQueue(ABC):
    """A queue of orders, opened by one client."""

    @abstractmethod
    async def publish(self, body: bytes) -> None:
        """Publish an order; return when the server has confirmed it. Raises `Full` or `Lost`."""

    @abstractmethod
    async def take(self, at_most: int) -> list[Taken]:
        """Take the oldest orders that are there now, in order. Raises `Lost`."""

    @abstractmethod
    async def ack(self, taken: Sequence[Taken]) -> None:
        """Acknowledge the oldest orders in hand, in the order in which they were taken."""

    @abstractmethod
    async def depth(self) -> int:
        """Return the number of orders that wait, without those in hand if the server knows."""


OpenQueue = Callable[[str, int], AbstractAsyncContextManager[OrderQueue]]
"""Opens the queue of the server at an address, with a bound; makes it if there is none.

Entering raises `Lost` if the server is not ready yet.
"""
