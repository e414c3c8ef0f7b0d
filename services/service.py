"""Declare a service: its topics, its handler and its retries."""

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
"""The work of a service for one event. Any error that it raises is a failed attempt."""


class GiveUp(FlashsaleError):
    """Raised by a handler if no further attempt can succeed: the event is dead at once."""


@dataclass(frozen=True)
class Retry:
    """The pause after each failed attempt, in seconds. After one more failure the event is dead."""

    pauses: tuple[float, ...] = (1.0, 5.0, 30.0, 120.0)

    def pause_after(self, failures: int) -> float | None:
        """Return the pause in seconds after that many failures; None after the last attempt."""
        return self.pauses[failures - 1] if failures <= len(self.pauses) else None


@dataclass(frozen=True)
class Service(Generic[View]):
    """The declaration of a service. Its queues, bindings and retries follow from it.

    `topics` are patterns such as `order.confirmed.#`. `view` turns an event into the argument of
    the handler. A handler that needs settings, or a resource such as a connection, is given by
    `opened` instead of `handle`: a context manager that yields the handler. It is called with the
    service's own settings, or with None if the service declares none.
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
    """Its own tables. Missing ones are created when the service starts."""
    settings: type[BaseSettings] | None = None
    """Its own settings. An entry point of `flashsale.settings` must name the same class."""
    totals: Totals | None = None
    """The totals that it keeps for each customer, for an audit to check."""

    def __post_init__(self) -> None:
        if (self.handle is None) == (self.opened is None):
            raise ValueError(f"service {self.name}: give either handle or opened")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Handle[View]]:
        """Open the handler and its resources until the exit. Raises `SettingsError`."""
        if self.handle is not None:
            yield self.handle
        elif self.opened is not None:
            own = None if self.settings is None else load(self.settings)
            async with self.opened(own) as handle:
                yield handle


AnyService = Service[Any]
