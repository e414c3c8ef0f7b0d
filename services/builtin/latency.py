"""Delay handlers, so that a demonstration shows services as slow as those of a real shop."""

import asyncio
from typing import TypeVar

from flashsale.ledger import Effects
from services.service import Handle

View = TypeVar("View")


def delayed(handle: Handle[View], milliseconds: int) -> Handle[View]:
    """Return a handler that waits that long before each event; the same handler for 0 ms."""
    if milliseconds == 0:
        return handle

    async def wait_and_handle(view: View, effects: Effects) -> None:
        await asyncio.sleep(milliseconds / 1000)
        await handle(view, effects)

    return wait_and_handle
