"""Services that take as long as the real ones of a shop would, for demonstrations."""

import asyncio
from typing import TypeVar

from flashsale.ledger import Effects
from services.service import Handle

View = TypeVar("View")


def delayed(handle: Handle[View], milliseconds: int) -> Handle[View]:
    """Return a handler that waits so long before each event; the same one for 0 ms."""
    if milliseconds == 0:
        return handle

    async def wait_and_handle(view: View, effects: Effects) -> None:
        await asyncio.sleep(milliseconds / 1000)
        await handle(view, effects)

    return wait_and_handle
