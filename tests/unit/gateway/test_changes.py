"""Changes are told at once and then together, and the latest state is always told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.state.stream_changes import EVERY_SALE, PROGRESS, Changes, StreamChanges

HOURS = 10_000.0


@asynccontextmanager
async def told(
    changes: Changes, tell: Callable[[str], Awaitable[bool]] | None = None
) -> AsyncIterator[list[str]]:
    """Collect the topics that are told."""
    topics: list[str] = []

    async def collect(topic: str) -> bool:
        topics.append(topic)
        return tell is None or await tell(topic)

    following = asyncio.create_task(changes.follow(collect))
    yield topics
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def turns() -> None:
    """Let every task run that is ready."""
    for _ in range(10):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def test_the_first_change_of_each_topic_is_told_at_once() -> None:
    changes = Changes(HOURS)
    async with told(changes) as topics:
        changes.note("tv")
        changes.note("phone")
        await turns()
        assert topics == ["tv", "phone"]


async def test_further_changes_wait_for_the_pause() -> None:
    changes = Changes(HOURS)
    async with told(changes) as topics:
        for _ in range(40):
            changes.note("tv")
            await turns()
        assert topics == ["tv"]


async def test_an_urgent_change_does_not_wait() -> None:
    changes = Changes(HOURS)
    async with told(changes) as topics:
        for _ in range(3):
            changes.note("tv")
            await turns()
        changes.note("tv", at_once=True)
        await turns()
        assert topics == ["tv", "tv"]


async def test_many_changes_in_a_pause_are_told_once_at_its_end() -> None:
    changes = Changes(0.01)
    async with told(changes) as topics:
        changes.note("tv")
        await turns()
        for _ in range(40):
            changes.note("tv")
        await until(lambda: len(topics) == 2)
        assert not changes._scheduled  # and nothing follows


async def test_the_last_change_is_told_even_if_it_comes_while_another_is_told() -> None:
    changes = Changes(0.01)
    state = 0
    sent: list[int] = []

    async def tell(topic: str) -> bool:
        sent.append(state)
        await asyncio.sleep(0)  # a broadcast lets other tasks run
        await asyncio.sleep(0)
        return True

    async with told(changes, tell):
        for _ in range(100):
            state += 1
            changes.note("tv")
            await asyncio.sleep(0)
        await until(lambda: sent[-1] == 100)
        assert len(sent) < 100


async def test_the_pause_begins_when_a_topic_has_been_told() -> None:
    changes = Changes(HOURS)
    may_end = asyncio.Event()

    async def tell(topic: str) -> bool:
        return await may_end.wait()

    async with told(changes, tell) as topics:
        changes.note("tv")
        await turns()
        changes.note("tv")  # while it is told
        may_end.set()
        await turns()
        assert topics == ["tv"]
        assert list(changes._scheduled) == ["tv"]
        changes.note("tv", at_once=True)
        await turns()
        assert topics == ["tv", "tv"]
        assert not changes._scheduled


async def test_a_change_that_told_nothing_does_not_hold_the_next_one_up() -> None:
    changes = Changes(HOURS)
    news = False

    async def tell(topic: str) -> bool:
        return news

    async with told(changes, tell) as topics:
        for _ in range(3):
            changes.note("tv")
            await turns()
        assert topics == ["tv"] * 3
        news = True
        for _ in range(3):
            changes.note("tv")
            await turns()
        assert topics == ["tv"] * 4


async def test_a_teller_that_fails_loses_no_change() -> None:
    changes = Changes(0.01)

    async def fail(topic: str) -> bool:
        changes.note(topic)
        raise ZeroDivisionError

    changes.note("tv")
    with pytest.raises(ZeroDivisionError):
        await changes.follow(fail)
    async with told(changes) as topics:
        await until(lambda: topics == ["tv"])


async def test_a_change_of_the_queue_is_a_change_of_every_sale() -> None:
    changes = StreamChanges()
    async with told(changes.progress) as progress, told(changes.sales) as sales:
        changes.queue_changed()
        await turns()
        assert (progress, sales) == ([PROGRESS], [EVERY_SALE])
