"""Declare a service: its topics, its handler and its retries."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic_settings import BaseSettings
from sqlalchemy import MetaData

from flashsale.ledger import Effects, Totals
from flashsale.messages.events import OrderEvent
from flashsale.runtime.settings_reader import load
from services.resources import Resources

View = TypeVar("View")

Handle = Callable[[View, Effects], Awaitable[None]]
"""The work of a service for one event. `services.errors` tells what its errors mean."""


@dataclass(frozen=True)
class Retry:
    """The pause after each failed attempt, in seconds. After one more failure the event is dead.

    `retries` is the number of further attempts, if it is less than the number of pauses. An event
    that waits for the other side uses all pauses, and the last one again and again.
    """

    pauses: tuple[float, ...] = (1.0, 5.0, 30.0, 120.0)
    retries: int | None = None

    def pause_after(self, failures: int) -> float | None:
        """Return the pause in seconds after that many failures; None after the last attempt."""
        retries = len(self.pauses) if self.retries is None else self.retries
        return self.pauses[failures - 1] if failures <= retries else None

    def pause_aside(self, times: int) -> float | None:
        """Return the pause in seconds of an event that waits for that many times; None if none."""
        return self.pauses[min(times, len(self.pauses)) - 1] if self.pauses else None


@dataclass(frozen=True)
class Service(Generic[View]):
    """The declaration of a service. Its queues, bindings and retries follow from it.

    `topics` are patterns such as `order.confirmed.#`. `view` turns an event into the argument of
    the handler. A handler that needs settings, or a resource such as a connection, is given by
    `opened` instead of `handle`: a context manager that yields the handler. It is called with the
    service's own settings, or with None if the service declares none. So are `concurrency` and
    `patience_seconds` if they are functions. `opened_with` is like `opened`, for a handler that has
    work of its own beside the events: it also gets the `Resources` of the process.
    """

    name: str
    topics: tuple[str, ...]
    view: Callable[[OrderEvent], View]
    handle: Handle[View] | None = None
    opened: Callable[[Any], AbstractAsyncContextManager[Handle[View]]] | None = None
    opened_with: Callable[[Any, Resources], AbstractAsyncContextManager[Handle[View]]] | None = None
    concurrency: int | Callable[[Any], int] = 100
    """How many events it takes from its queue and handles at a time."""
    timeout_seconds: float | None = 30.0
    """How long a try may take, counted from the call of the handler. None: as long as it takes."""
    patience_seconds: float | Callable[[Any], float] = math.inf
    """How old an event may be that still waits for the other side. Then it is dead."""
    retry: Retry = field(default_factory=Retry)
    tables: MetaData | None = None
    """Its own tables. Missing ones are created when the service starts."""
    settings: type[BaseSettings] | None = None
    """Its own settings. An entry point of `flashsale.settings` must name the same class."""
    totals: Totals | None = None
    """The totals that it keeps for each customer, for an audit to check."""

    def __post_init__(self) -> None:
        given = (self.handle, self.opened, self.opened_with)
        if sum(each is not None for each in given) != 1:
            raise ValueError(f"service {self.name}: give either handle, opened or opened_with")

    @asynccontextmanager
    async def open(self, process: Resources) -> AsyncIterator["OpenService[View]"]:
        """Open the handler and its resources until the exit. Raises `SettingsError`."""
        own = None if self.settings is None else load(self.settings)
        concurrency, patience = self.concurrency, self.patience_seconds
        async with AsyncExitStack() as resources:
            handle = self.handle
            if self.opened is not None:
                handle = await resources.enter_async_context(self.opened(own))
            if self.opened_with is not None:
                handle = await resources.enter_async_context(self.opened_with(own, process))
            assert handle is not None  # noqa: S101 __post_init__ saw to it
            yield OpenService(
                self,
                handle,
                concurrency(own) if callable(concurrency) else concurrency,
                patience(own) if callable(patience) else patience,
            )


@dataclass(frozen=True)
class OpenService(Generic[View]):
    """A service with its handler, and with the limits that its settings give."""

    service: Service[View]
    handle: Handle[View]
    concurrency: int
    patience_seconds: float


AnyService = Service[Any]
AnyOpenService = OpenService[Any]
