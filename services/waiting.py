"""Wait for the first of several things."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first_of(*work: Coroutine[Any, Any, Any], seconds: float | None = None) -> bool:
    """Wait until one of these ends, or for so many seconds; return whether one has ended.

    Raises the error of one that failed. The others are cancelled.
    """
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        ended, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
        return bool(ended)
    finally:
        for task in tasks:
            task.cancel()
