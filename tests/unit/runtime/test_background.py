"""Background tasks: none ends unnoticed, and each is started again or ends its process."""

import asyncio
from collections.abc import Callable
from typing import Never

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from flashsale.runtime import background as module
from flashsale.runtime.background import Background, BackgroundTaskEnded, cancelled


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_RESTART_SECONDS", 0.01)
    monkeypatch.setattr(module, "_LAST_RESTART_SECONDS", 0.02)
    monkeypatch.setattr(module, "_STEADY_SECONDS", 0.05)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


class Work:
    """Work that ends in another way each time, and then runs for ever."""

    def __init__(self, *ends: BaseException | None) -> None:
        self.ends = list(ends)
        self.started = 0

    async def __call__(self) -> None:
        self.started += 1
        if not self.ends:
            await asyncio.Event().wait()
        end = self.ends.pop(0)
        await asyncio.sleep(0)
        if end is not None:
            raise end


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (ValueError("no such thing"), "no such thing"),
        (KeyError(), "KeyError"),
        (None, "returned"),
        (asyncio.CancelledError(), "cancelled"),
        (ExceptionGroup("several", [ValueError("the one")]), "the one"),
    ],
)
async def test_a_background_task_that_ends_is_logged_named_and_restarted(
    end: BaseException | None, words: str
) -> None:
    work = Work(end)
    async with Background() as background:
        with capture_logs() as logs:
            background.start("the task", work)
            await until(background.troubles)
            assert background.troubles() == {"the task": f"ended: {words}"}
            await until(lambda: work.started == 2)
            assert background.troubles(), "forgiven before it has run for a while"
            await until(lambda: not background.troubles())
    (entry,) = [log for log in logs if log["log_level"] == "error"]
    assert entry["task"] == "the task"
    assert entry["exc_info"] is not None


async def test_a_background_task_that_keeps_ending_stays_in_troubles() -> None:
    work = Work(*(ValueError(str(n)) for n in range(20)))
    async with Background() as background:
        background.start("the task", work)
        await until(background.troubles)
        while work.started < 10:
            assert background.troubles()
            await asyncio.sleep(0.001)


async def test_ends_of_background_tasks_are_counted() -> None:
    registry = CollectorRegistry()
    labels = {"task": "the task"}
    async with Background(registry) as background:
        background.start("the task", Work(ValueError(), ValueError()))
        counter = "flashsale_background_task_failures_total"
        await until(lambda: registry.get_sample_value(counter, labels) == 2)
        gauge = "flashsale_background_task_failing"
        assert registry.get_sample_value(gauge, labels) == 1
        await until(lambda: registry.get_sample_value(gauge, labels) == 0)


async def test_background_work_may_return_after_until_is_set() -> None:
    stop = asyncio.Event()

    async def work() -> None:
        await stop.wait()

    async with Background() as background:
        running = background.start("the task", work, until=stop)
        stop.set()
        await running
        assert not background.troubles()


async def test_a_background_task_that_waits_for_its_restart_ends_when_until_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_FIRST_RESTART_SECONDS", 3600)
    stop = asyncio.Event()
    async with Background() as background:
        running = background.start("the task", Work(ValueError()), until=stop)
        await until(background.troubles)
        stop.set()
        async with asyncio.timeout(20):
            await running


async def test_the_end_of_an_essential_task_ends_the_process() -> None:
    with pytest.raises(BackgroundTaskEnded, match="the task") as raised:  # noqa: PT012
        async with Background() as background:
            background.start("the task", Work(ValueError("why")), essential=True)
            await asyncio.Event().wait()
    assert str(raised.value.__cause__) == "why"


async def test_the_exit_of_background_cancels_the_tasks_and_keeps_the_error_of_the_body() -> None:
    work = Work()
    with pytest.raises(KeyError):  # noqa: PT012
        async with Background() as background:
            running = background.start("the task", work)
            await until(lambda: work.started)
            raise KeyError
    assert running.cancelled()


async def test_a_second_background_task_of_a_name_is_refused() -> None:
    async with Background() as background:
        first = background.start("the task", Work())
        with pytest.raises(ValueError, match="the task"):
            background.start("the task", Work())
        await cancelled(first)
        background.start("the task", Work())


async def test_background_work_that_can_not_begin_is_named() -> None:
    def work() -> Never:
        raise ValueError("not today")

    async with Background() as background:
        background.start("the task", work)
        await until(background.troubles)
        assert background.troubles() == {"the task": "ended: not today"}
