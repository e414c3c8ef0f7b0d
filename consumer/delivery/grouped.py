"""Group commits: calls that come together share one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from flashsale.ledger import LedgerRefused

Wanted = TypeVar("Wanted")
Found = TypeVar("Found")

_LARGEST_GROUP = 200


class Grouped(Generic[Wanted, Found]):
    """Does one thing for all calls that wait, while there are any."""

    def __init__(self, together: Callable[[Sequence[Wanted]], Awaitable[Sequence[Found]]]) -> None:
        """`together` returns one result for each call, in the same order, or raises for all."""
        self._together = together
        self._waiting: list[tuple[Wanted, asyncio.Future[Found]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def __call__(self, wanted: Wanted) -> Found:
        """Return the result of one call. Raises what `together` raises.

        If a group is refused, each of its calls is tried alone.
        """
        found: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, found))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="group")
        return await found

    async def _work(self) -> None:
        while self._waiting:
            group = self._waiting[:_LARGEST_GROUP]
            del self._waiting[:_LARGEST_GROUP]
            if not await self._try(group, splits=len(group) > 1):
                for one in group:
                    await self._try([one], splits=False)

    async def _try(
        self, group: Sequence[tuple[Wanted, asyncio.Future[Found]]], *, splits: bool
    ) -> bool:
        """Do it for a group; return whether that has a result for each call."""
        try:
            results = await self._together([wanted for wanted, _ in group])
        except Exception as error:  # each caller gets it
            if splits and isinstance(error, LedgerRefused):
                return False
            for _, found in group:
                if not found.done():
                    found.set_exception(error)
        else:
            for (_, found), result in zip(group, results, strict=True):
                if not found.done():
                    found.set_result(result)
        return True
