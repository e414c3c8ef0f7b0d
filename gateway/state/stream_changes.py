"""Wake the event streams when something changed, without an event for each of many changes.

During a drain a sale changes with each batch, 40 times a second, and 20,000 streams may watch it.
So the first change is told at once, and further ones together after a pause. The latest state is
always told.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

SALE_SECONDS = 0.25
PROGRESS_SECONDS = 1.0

PROGRESS = "progress"
"""The topic of the streams of all orders that wait."""
EVERY_SALE = ""
"""The topic of all sales together. No sku is empty."""


class Changes:
    """Tells of the topics that changed, each at most once in `pause` seconds."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._due: dict[str, None] = {}  # in the order in which they became due
        self._any_due = asyncio.Event()
        self._told_at: dict[str, float] = {}
        self._scheduled: dict[str, asyncio.TimerHandle] = {}
        self._telling: str | None = None
        self._changed_while_told = False

    def note(self, topic: str, *, at_once: bool = False) -> None:
        """Have a change of the topic told: at once, or when its pause is over."""
        if topic in self._due:
            return
        if at_once:
            self._make_due(topic)
        elif topic == self._telling:
            self._changed_while_told = True
        elif topic not in self._scheduled:
            loop = asyncio.get_running_loop()
            wait = self._told_at.get(topic, -math.inf) + self._pause - loop.time()
            if wait <= 0:
                self._make_due(topic)
            else:
                self._scheduled[topic] = loop.call_later(wait, self._make_due, topic)

    async def follow(self, tell: Callable[[str], Awaitable[bool]]) -> None:
        """Call `tell` with each topic that changed, one after the other, until cancelled.

        It returns whether it told anything. A change that turned out to be none begins no pause, so
        that it does not hold the next one up.
        """
        loop = asyncio.get_running_loop()
        while True:
            await self._any_due.wait()
            topic = next(iter(self._due))
            del self._due[topic]
            if not self._due:
                self._any_due.clear()
            self._telling, told = topic, True
            try:
                told = await tell(topic)
            finally:
                self._telling = None
                if told:
                    # The pause begins after a broadcast: to thousands of streams it takes a while.
                    self._told_at[topic] = loop.time()
                if self._changed_while_told:
                    self._changed_while_told = False
                    self.note(topic)

    def _make_due(self, topic: str) -> None:
        scheduled = self._scheduled.pop(topic, None)
        if scheduled is not None:
            scheduled.cancel()
        self._due[topic] = None
        self._any_due.set()


class LineMoves:
    """Wakes the streams of orders in line, for each sale at most once a second."""

    def __init__(self) -> None:
        self._changes = Changes(PROGRESS_SECONDS)
        self._moves: dict[str, asyncio.Future[None]] = {}

    def note(self, sku: str) -> None:
        """Note that the line of a sale has moved."""
        if sku in self._moves:
            self._changes.note(sku)

    def next_of(self, sku: str) -> asyncio.Future[None]:
        """Return a future that ends when the line has moved. All callers share it: shield it."""
        move = self._moves.get(sku)
        if move is None:
            move = self._moves[sku] = asyncio.get_running_loop().create_future()
        return move

    async def follow(self) -> None:
        """Keep waking."""
        await self._changes.follow(self._wake)

    async def _wake(self, sku: str) -> bool:
        move = self._moves.pop(sku, None)
        if move is not None:
            move.set_result(None)
        return move is not None


class StreamChanges:
    """What the streams are to be told of: the progress of the queue, each sale, and its line."""

    def __init__(self) -> None:
        self.progress = Changes(PROGRESS_SECONDS)
        self.sales = Changes(SALE_SECONDS)
        self.lines = LineMoves()

    def queue_changed(self) -> None:
        """Note that the backlog, the drain, or the positions of orders changed."""
        self.progress.note(PROGRESS)
        self.sales.note(EVERY_SALE)  # the backlog and the drain are a part of each sale's view

    def sale_changed(self, sku: str, *, at_once: bool = False) -> None:
        """Note that a sale changed; `at_once` if shoppers may do something else with it now."""
        self.sales.note(sku, at_once=at_once)
