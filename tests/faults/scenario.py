"""What a scenario is: a fault, when it happens, and what is expected beside the promises."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from flashsale.audit.history import Committed, read_history
from loadtest.servers import PostgresServer, RabbitNode
from tests.faults.linked import LinkedCluster
from tests.faults.shoppers import Crowd
from tests.faults.stand import Layout, Stand
from tests.processes import run

Fault = Callable[[Stand], Awaitable[None]]

SEEDS = int(os.environ.get("FAULTS_SEEDS", "0"))
"""How often each scenario is played; 0: the short ones, once."""
_FIRST_SEED = int(os.environ.get("FAULTS_FIRST_SEED", "1"))

EACH_SEED = range(_FIRST_SEED, _FIRST_SEED + max(1, SEEDS))


@dataclass(frozen=True)
class Scenario:
    """A fault and the sale that it happens to."""

    name: str
    fault: Fault
    """Breaks things while shoppers come, and returns when they are whole again."""
    layout: Layout = field(default_factory=Layout)
    short: bool = False
    """Whether it is one for every `make test`."""
    rate: float = 50.0
    """Orders a second that are new."""
    shoppers: Mapping[str, Any] = field(default_factory=dict)
    """What else is to be so of the `Crowd`."""
    small_disk: bool = False
    """Whether broker and database are its own, each on a small disk that can be filled."""
    image_disks: bool = False
    """Whether broker and database are its own, each on a disk whose power can be cut."""
    cluster: bool = False
    """Whether its broker is a cluster, of its own."""
    after: float = 1.5
    """Seconds for which shoppers come once things are whole again."""
    loses: bool = False
    """Whether orders are to be lost: the fault is one that its settings do not withstand."""


SCENARIOS: list[Scenario] = []


def scenario(name: str, **options: object) -> Callable[[Fault], Fault]:
    """Register a fault under that name, as a line of the table."""

    def register(fault: Fault) -> Fault:
        SCENARIOS.append(Scenario(name, fault, **options))  # type: ignore[arg-type]
        return fault

    return register


@dataclass(frozen=True)
class Row:
    """What came of a scenario: a line of the table that is printed at the end."""

    name: str
    seed: int
    offered: int
    accepted: int
    confirmed: int
    without_service: float
    """The longest time, in seconds, in which nobody was taken."""
    standing: float
    """The longest time, in seconds, in which nothing was decided."""
    lost: int
    doubled: int


class Verdict(msgspec.Struct):
    """What of `flashsale check --json` is used here."""

    violations: dict[str, list[str]]
    waiting: list[str]
    """Why it would be too early to judge."""


async def play(
    scenario: Scenario,
    seed: int,
    broker: RabbitNode | LinkedCluster,
    database: PostgresServer,
    folder: Path,
) -> Row:
    """Hold a sale, break it, and judge what is left.

    Raises `AssertionError`, in an `ExceptionGroup` if shoppers were there.
    """
    stand = Stand(scenario.layout, broker, database, folder, seed)
    async with AsyncExitStack() as exits:
        await exits.enter_async_context(stand.open())
        crowd = stand.crowd(rate=scenario.rate, **scenario.shoppers)
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as shoppers:
            shoppers.create_task(crowd.come(enough), name="shoppers")
            await stand.wait(1.0, 2.0)
            await scenario.fault(stand)
            await stand.wait(scenario.after)
            enough.set()
            await crowd.answered.wait()
            await stand.settled(crowd)
            crowd.go()
        return await _judged(scenario, seed, stand, crowd)


async def _judged(scenario: Scenario, seed: int, stand: Stand, crowd: Crowd) -> Row:
    assert crowd.given_up == 0, f"{crowd.given_up} shoppers gave up: {crowd.statuses}"
    assert crowd.accepted, f"nobody was taken: {crowd.statuses}"
    unexpected = set(crowd.statuses) - {0, 202, 409, 503}
    assert not unexpected, f"answers that no shopper should see: {crowd.statuses}"
    file = stand.folder / "verdict.json"
    checked = await asyncio.to_thread(
        run,
        ["flashsale", "check", "--history", str(stand.history), "--json", str(file)],
        stand.check_environment(),
        stand.folder,
    )
    printed = checked.stdout + checked.stderr
    assert file.exists(), printed
    verdict = msgspec.json.decode(file.read_bytes(), type=Verdict)
    assert not verdict.waiting, printed
    violations = verdict.violations
    lost = violations.pop("lost")
    gone = stand.gone(crowd)
    assert all(any(id in line for id in gone) for line in lost), printed
    assert not any(violations.values()), printed
    assert lost or not scenario.loses, f"nothing was lost of {len(crowd.accepted)} orders"
    return Row(
        scenario.name,
        seed,
        crowd.offered,
        len(crowd.accepted),
        await stand.confirmed(),
        _longest_gap(asked.at + asked.seconds for asked in crowd.accepted.values()),
        _longest_gap(
            seen.at for seen in read_history([stand.history]) if isinstance(seen, Committed)
        ),
        len(lost),
        len(violations.get("doubled", [])),
    )


def _longest_gap(moments: Iterable[float]) -> float:
    return max((later - sooner for sooner, later in pairwise(sorted(moments))), default=0.0)
