"""What a service is: what it wants to hear of, what it does about it, how often it tries."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import MetaData

from flashsale.domain.errors import FlashsaleError
from flashsale.ledger import Effects
from flashsale.messages.events import OrderEvent
from flashsale.runtime.settings import Settings

View = TypeVar("View")

Handle = Callable[[View, Effects], Awaitable[None]]
"""Does a service's work for one event. What it raises is a failed try."""


class GiveUp(FlashsaleError):
    """Raised by a handler: no further try would do better, the event is dead at once."""


@dataclass(frozen=True)
class Retry:
    """The pause after each failed try, in seconds. After one more failure the event is dead."""

    pauses: tuple[float, ...] = (1.0, 5.0, 30.0, 120.0)

    def pause_after(self, failures: int) -> float | None:
        """The pause after so many failures; None if that was the last try."""
        return self.pauses[failures - 1] if failures <= len(self.pauses) else None


@dataclass(frozen=True)
class Service(Generic[View]):
    """A service, complete: its queue, its bindings and its retries follow from this.

    `topics` are patterns such as `order.confirmed.#`. `view` makes of an event what the handler
    wants to know. A handler that needs something opened first is given by `opened` instead.
    """

    name: str
    topics: tuple[str, ...]
    view: Callable[[OrderEvent], View]
    handle: Handle[View] | None = None
    opened: Callable[[Settings], AbstractAsyncContextManager[Handle[View]]] | None = None
    concurrency: int = 100
    timeout_seconds: float = 30.0
    retry: Retry = field(default_factory=Retry)
    tables: MetaData | None = None
    """Its own tables; they are created when it starts, if they are missing."""

    def __post_init__(self) -> None:
        if (self.handle is None) == (self.opened is None):
            raise ValueError(f"service {self.name}: give either handle or opened")

    @asynccontextmanager
    async def open(self, settings: Settings) -> AsyncIterator[Handle[View]]:
        """The handler, with what it needs open for as long as this is entered."""
        if self.handle is not None:
            yield self.handle
        elif self.opened is not None:
            async with self.opened(settings) as handle:
                yield handle


AnyService = Service[Any]
