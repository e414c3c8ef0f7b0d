"""`/metrics` and `/healthz` of a process."""

import asyncio
import http.client
import threading
import time

import pytest
from prometheus_client import CollectorRegistry

from flashsale.observability import monitoring
from flashsale.observability.monitoring import monitored
from flashsale.runtime.background import Background


def ask(port: int, path: str) -> tuple[int, str]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request("GET", path)
    answer = client.getresponse()
    told = answer.status, answer.read().decode()
    client.close()
    return told


async def test_a_process_is_alive_while_its_loop_turns_and_stuck_when_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(monitoring, "_STUCK_SECONDS", 0.3)
    seen: list[int] = []

    def until_stuck(port: int) -> None:
        deadline = time.monotonic() + 20
        while 503 not in seen and time.monotonic() < deadline:
            seen.append(ask(port, "/healthz")[0])

    async with (
        Background() as background,
        monitored(CollectorRegistry(), "127.0.0.1", 0, background) as port,
    ):
        assert await asyncio.to_thread(ask, port, "/healthz") == (200, '{"status":"alive"}')
        watcher = threading.Thread(target=until_stuck, args=(port,))
        watcher.start()
        watcher.join()
        assert seen[0] == 200
        assert seen[-1] == 503
        async with asyncio.timeout(10):
            while (await asyncio.to_thread(ask, port, "/healthz"))[0] != 200:
                await asyncio.sleep(0.01)
        assert (
            "flashsale_loop_lag_seconds_count"
            in (await asyncio.to_thread(ask, port, "/metrics"))[1]
        )
