"""Each background task of each process, killed in turn: it shows, and it comes back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from consumer.app import run_consumer
from flashsale.ledger import open_ledger
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.runtime import background
from flashsale.runtime.settings import Settings, load_settings
from flashsale.runtime.stack import open_stack
from gateway.app import create_app, run_gateway, serving
from loadtest.servers import free_port
from services.app import run_services
from services.installed import chosen_services
from tests.conftest import unique

BROKER = {"broker connection", "confirm deadlines", "channel renewal"}
GATEWAY = {
    "sales",
    "controls",
    "backlog",
    "ledger lookup",
    "announcements heard",
    "overdue orders",
    "missing orders",
    "announcements told",
    "payments",
    "streams of orders in line",
    "order streams",
    "sale streams",
    "stream keep-alive",
    "gauges",
    "ops samples",
    "slow connections",
}
CONSUMER = {"drain", "relay"}
SERVICES = {
    "service loyalty",
    "service mail",
    "service ranking",
    "service webhook",
    "webhook sender",
    "webhook housekeeping",
}

Health = tuple[int, dict[str, Any]]
Ask = Callable[[], Awaitable[Health]]


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_FIRST_RESTART_SECONDS", 0.1)
    monkeypatch.setattr(background, "_STEADY_SECONDS", 0.1)
    monkeypatch.setattr("services.app.os.nice", lambda _: 0)  # the tests go on as they are


def supervised() -> set[str]:
    """The names of what is supervised in this process."""
    prefix = "supervisor of "
    names = {task.get_name() for task in asyncio.all_tasks()}
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def kill(name: str) -> None:
    """End the work of that name behind its supervisor's back."""
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == name]
    task.cancel("killed by a test")


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.005)


async def see_each_killed_and_back(expected: set[str], healthy: Ask) -> None:
    """Kill one after the other: each is named while it is down, and nothing is in the end."""

    async def well() -> bool:
        return (await healthy())[0] == 200

    await until(well)
    assert supervised() == expected
    for name in sorted(expected):
        with capture_logs() as logs:
            kill(name)

            async def named(name: str = name) -> bool:
                status, body = await healthy()
                return status == 503 and name in (body.get("checks") or body.get("tasks") or {})

            await until(named)
        assert [log["task"] for log in logs if log["log_level"] == "error"] == [name]
        await until(well)
    assert supervised() == expected


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Ask]:
    async with aiohttp.ClientSession() as client:

        async def ask() -> Health:
            try:
                async with client.get(url) as answer:
                    return answer.status, await answer.json(content_type=None)
            except aiohttp.ClientConnectionError:
                return 0, {}

        yield ask


@pytest.fixture(params=["embedded", "real"])
async def settings(request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str) -> Settings:
    real = request.param == "real"
    made = load_settings(
        broker_url=request.getfixturevalue("rabbit_url") if real else None,
        database_url=request.getfixturevalue("postgres_url") if real else sqlite_url,
        broker_prefix=f"{unique('bg')}.",
        gateway_port=0,
        metrics_port=free_port(),
        mail_folder=str(tmp_path / "mail"),
    )
    async with open_ledger(made.database_url) as ledger:
        await ledger.migrate()
    return made


async def test_readiness_names_each_background_task_of_a_gateway_that_ends(
    settings: Settings,
) -> None:
    metrics = GatewayMetrics()
    async with open_stack(settings) as stack:
        app = create_app(settings, stack, b"a secret of the tests", metrics)
        async with serving(app) as url, asking(f"{url}/readyz") as ready:
            broker = set() if settings.embedded else BROKER
            await see_each_killed_and_back(GATEWAY | broker, ready)


@pytest.mark.parametrize("settings", ["real"], indirect=True)
@pytest.mark.parametrize(
    ("run", "own"),
    [
        (run_gateway, GATEWAY),
        (run_consumer, CONSUMER),
        (lambda settings, stop: run_services(settings, chosen_services("all"), stop), SERVICES),
    ],
    ids=["gateway", "consumer", "services"],
)
async def test_health_names_each_background_task_of_a_process_that_ends(
    settings: Settings,
    run: Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]],
    own: set[str],
) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(run(settings, stop))
    try:
        async with asking(f"http://127.0.0.1:{settings.metrics_port}/healthz") as healthy:
            expected = {"pulse"} | BROKER | own

            async def started() -> bool:
                assert not running.done(), running.result()
                return supervised() == expected

            await until(started)
            await see_each_killed_and_back(expected, healthy)
    finally:
        stop.set()
        await running
    assert supervised() == set()
