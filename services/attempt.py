"""One attempt of a handler. Whatever the handler does, it ends, and as an ordinary error."""

import asyncio

import structlog

from flashsale.domain.errors import FlashsaleError
from flashsale.ledger import Effects
from flashsale.messages.events import OrderEvent
from services.service import AnyOpenService

log = structlog.get_logger()

# Longer than mail waits for the last answer of its server.
_CANCEL_SECONDS = 16.0


class HandlerFailed(FlashsaleError):
    """A handler ended by something that is no usual error, such as an exit or a cancellation."""


async def attempt(opened: AnyOpenService, event: OrderEvent, effects: Effects) -> Exception | None:
    """Run the handler of a service; return its error, or None if the event is done.

    The handler has a task of its own, so an exit or a cancellation inside it ends nothing else. A
    cancellation of this call is passed on to it, and is raised unless the handler ends by itself. A
    handler that ignores its cancellation for 16 s is abandoned.
    """
    service = opened.service
    handling = asyncio.create_task(
        _outcome(opened, event, effects), name=f"handler of {service.name}"
    )
    try:
        await asyncio.wait((handling,), timeout=service.timeout_seconds)
    except asyncio.CancelledError:
        outcome = await _cancelled(handling)
        if isinstance(outcome, asyncio.CancelledError):
            raise
        return _usual(outcome)
    if handling.done():
        return _usual(handling.result())
    outcome = await _cancelled(handling)
    if isinstance(outcome, asyncio.CancelledError):
        return TimeoutError(f"not done within {service.timeout_seconds:g} s")
    return _usual(outcome)


async def _outcome(
    opened: AnyOpenService, event: OrderEvent, effects: Effects
) -> BaseException | None:
    try:
        await opened.handle(opened.service.view(event), effects)
    except BaseException as error:
        return error
    return None


async def _cancelled(handling: "asyncio.Task[BaseException | None]") -> BaseException | None:
    """Cancel a handler, and return how it ended; a cancellation if it did not end."""
    handling.cancel()
    await asyncio.wait((handling,), timeout=_CANCEL_SECONDS)
    if handling.done():
        # A task that is cancelled before its first step has no outcome.
        return asyncio.CancelledError() if handling.cancelled() else handling.result()
    log.error("handler ignores its cancellation and is abandoned", task=handling.get_name())
    return asyncio.CancelledError()


def _usual(outcome: BaseException | None) -> Exception | None:
    """Return the error as one that can be printed and is an `Exception`."""
    if outcome is None:
        return None
    try:
        words = f"{type(outcome).__name__}: {outcome}"
    except Exception:  # its own __str__ fails
        return HandlerFailed(f"{type(outcome).__name__}, which can't be printed")
    return outcome if isinstance(outcome, Exception) else HandlerFailed(words)
