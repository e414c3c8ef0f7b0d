"""Every promise holds under every fault. `make faults` plays all of them, with three seeds each."""

from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import pytest

from loadtest.servers import PostgresServer, RabbitNode
from tests.faults.linked import LinkedCluster
from tests.faults.scenario import EACH_SEED, SCENARIOS, SEEDS, Scenario, play
from tests.faults.scenarios import (  # noqa: F401 they register themselves
    broker,
    cluster,
    consumer,
    database,
    disk,
    gateway,
    holds,
    mail,
    operator,
    power,
    service,
    sink,
    slow_database,
    stock,
)

CHOSEN = [scenario for scenario in SCENARIOS if SEEDS or scenario.short]


@pytest.mark.parametrize("seed", EACH_SEED)
@pytest.mark.parametrize("scenario", CHOSEN, ids=[s.name.replace(" ", "-") for s in CHOSEN])
async def test_promises_hold_when(
    scenario: Scenario,
    seed: int,
    servers_of_scenario: tuple[RabbitNode | LinkedCluster, PostgresServer],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    row = await play(scenario, seed, *servers_of_scenario, tmp_path)
    record_property("fault", astuple(row))
