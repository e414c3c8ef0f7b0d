"""Run one operation on the ledger for a command."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from flashsale.ledger import Ledger, open_ledger
from flashsale.runtime.process import run, settings_or_fail

T = TypeVar("T")


def with_ledger(ask: Callable[[Ledger], Coroutine[Any, Any, T]]) -> T:
    """Return the result of `ask` with the ledger of the settings.

    An expected failure prints one line and ends the process.
    """
    settings = settings_or_fail()
    answers: list[T] = []

    async def go(_: asyncio.Event) -> None:
        async with open_ledger(settings.database_url, settings.database_schema) as ledger:
            answers.append(await ask(ledger))

    run(go)
    return answers[0]
