"""A process ends, whatever foreign code does in its tasks."""

import subprocess
import sys

STUBBORN = """
import asyncio
from flashsale.runtime import process

process._LAST_TASKS_SECONDS = 0.2

async def stubborn():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def main(stop):
    task = asyncio.create_task(stubborn(), name="the stubborn one")
    await asyncio.sleep(0)
    print("done", flush=True)

process.run(main)
"""


def test_a_process_ends_without_a_task_that_ignores_its_cancellation() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STUBBORN], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "done" in ended.stdout
    assert "the stubborn one" in ended.stdout + ended.stderr
