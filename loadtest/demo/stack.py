"""Start the product's processes for a sale."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from pydantic import SecretStr

from flashsale.ledger import open_ledger
from flashsale.runtime.settings import PREFIX, Settings
from flashsale.runtime.settings_reader import installed_settings, variables
from loadtest.demo.sale import Stack
from loadtest.measure.cores import Cores
from loadtest.processes import process
from loadtest.servers import free_port


def start_stack(
    exits: ExitStack,
    settings: Settings,
    folder: Path,
    services: Mapping[str, str],
    cores: Cores | None = None,
) -> Stack:
    """Start the processes with these settings. Raises `ProcessFailed` or `LedgerError`.

    `services` are variables of the services' own settings; other ones are those of this process.
    """
    asyncio.run(_migrate(settings.database_url))
    environment = {**_of_services(), **services, **_environment(settings)}
    if settings.embedded:
        names, ports = ["run"], [settings.metrics_port or 0]
    else:
        names = ["consumer", "gateway"]
        if settings.services != "none":
            names.insert(1, "services")
        ports = [*(free_port() for _ in names[1:]), settings.metrics_port or 0]
    started = []
    for name, port in zip(names, ports, strict=True):
        running = exits.enter_context(
            process(
                ["flashsale", name],
                folder / f"{name}.log",
                environment | {f"{PREFIX}METRICS_PORT": str(port)},
            )
        )
        started.append(running)
        if cores is not None:
            cores.follow(name, running.pid)
    url = f"http://127.0.0.1:{settings.gateway_port}"
    started[-1].await_url(f"{url}/readyz")
    started[0].await_url(f"http://127.0.0.1:{ports[0]}/metrics")
    return Stack(url, ports)


async def _migrate(url: str) -> None:
    async with open_ledger(url) as ledger:
        await ledger.migrate()


def _of_services() -> dict[str, str]:
    names = {name for declared in installed_settings() for name in variables(declared)}
    return {name: value for name, value in os.environ.items() if name in names}


def _environment(settings: Settings) -> dict[str, str]:
    values = {name: value for name, value in settings.model_dump().items() if value is not None}
    for name, value in values.items():
        if isinstance(value, SecretStr):
            values[name] = value.get_secret_value()
    values |= {"gateway_host": "127.0.0.1", "metrics_host": "127.0.0.1", "shutdown_seconds": 0}
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}
