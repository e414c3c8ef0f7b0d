"""What a service is: what it wants to hear of, what it does about it, how often it tries."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic_settings import BaseSettings
from sqlalchemy import MetaData

from flashsale.domain.errors import FlashsaleError
from flashsale.ledger import Effects, Totals
from flashsale.messages.events import OrderEvent
from flashsale.runtime.settings import load

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
    wants to know. A handler that needs settings, or something opened first, is given by `opened`
    instead: it is called with the service's own settings, None if it declares none.
    """

    name: str
    topics: tuple[str, ...]
    view: Callable[[OrderEvent], View]
    handle: Handle[View] | None = None
    opened: Callable[[Any], AbstractAsyncContextManager[Handle[View]]] | None = None
    concurrency: int = 100
    timeout_seconds: float = 30.0
    retry: Retry = field(default_factory=Retry)
    tables: MetaData | None = None
    """Its own tables; they are created when it starts, if they are missing."""
    settings: type[BaseSettings] | None = None
    """Its own settings. The entry point of the same class makes them known to every process."""
    totals: Totals | None = None
    """The figures that it adds up, for an audit to check."""

    def __post_init__(self) -> None:
        if (self.handle is None) == (self.opened is None):
            raise ValueError(f"service {self.name}: give either handle or opened")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Handle[View]]:
        """Open what the handler needs, for as long as this is entered. Raises `SettingsError`."""
        if self.handle is not None:
            yield self.handle
        elif self.opened is not None:
            own = None if self.settings is None else load(self.settings)
            async with self.opened(own) as handle:
                yield handle


AnyService = Service[Any]
