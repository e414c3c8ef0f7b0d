"""Measure the intake of one contestant: a closed loop, and an open loop like a sale."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvloop

from loadtest.bench.peers.contestants import CONTESTANTS, GATEWAY, Contestant
from loadtest.bench.peers.testbed import SKU, SOLD_OUT_SKU, BenchTestbed
from loadtest.load.closed_loop import ORDER, Answers, closed_loop
from loadtest.load.open_loop import Outcome, open_loop, orders
from loadtest.load.shapes import Load
from loadtest.processes import Process

OFFERED_RATE = 5_000
SOLD_OUT = "sold_out"
QUEUE_FULL = "queue_full"

_WARM_SECONDS = 1
_CONNECTIONS = 512
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class IntakeCase:
    """A gateway with its settings, the sku to order, and the expected status of the answers."""

    name: str
    contestant: Contestant
    sku: str = SKU
    status: int = 202
    queue: str = ""  # the queue to empty after each loop
    full: str = ""  # the queue to fill at the start
    changes: Mapping[str, str] = field(default_factory=dict)

    def script(self, folder: Path) -> Path:
        """Write the wrk script, which counts answers other than the expected one."""
        text = ORDER.replace(f'"sku": "{SKU}"', f'"sku": "{self.sku}"')
        if self.status >= 400:
            wanted = "summary.requests - summary.errors.status"
            text = text.replace("summary.errors.status", wanted)
        file = folder / f"{self.name}.lua"
        file.write_text(text)
        return file


INTAKE_CASES = (
    *(IntakeCase(one.name, one, queue=one.queue) for one in CONTESTANTS),
    IntakeCase(SOLD_OUT, GATEWAY, sku=SOLD_OUT_SKU, status=409),
    IntakeCase(
        QUEUE_FULL,
        GATEWAY,
        status=503,
        full=f"full.{GATEWAY.queue}",
        changes={"FLASHSALE_BROKER_PREFIX": "full.", "FLASHSALE_QUEUE_MAX_LENGTH": "1"},
    ),
)


@dataclass(frozen=True)
class IntakeResult:
    """The figures of a turn. `offered` is the open loop, None for a case that refuses orders."""

    answers: Answers
    cpu_us: float
    offered: Outcome | None


def take_turn(testbed: BenchTestbed, case: IntakeCase, folder: Path, seconds: int) -> IntakeResult:
    """Start a gateway, measure it, stop it and empty its queue. `seconds` is the time of a loop.

    Raises `RuntimeError` if an answer is not the expected one.
    """
    script = case.script(folder)
    with testbed.gateway(case.contestant, case.changes) as (process, port):
        if case.full:
            testbed.fill(case.full)
        _check(case, port)
        closed_loop(port, script, _WARM_SECONDS)
        _empty(testbed, case)
        before = _cpu_seconds(process)
        answers = closed_loop(port, script, seconds)
        cpu = _cpu_seconds(process) - before
        _empty(testbed, case)
        offered = _offer(case, port, seconds) if case.status == 202 else None
        _empty(testbed, case)
    return IntakeResult(answers, 1e6 * cpu / answers.count, offered)


def _check(case: IntakeCase, port: int) -> None:
    # wrk can't tell one refusal from another, so check the status once.
    url = f"http://127.0.0.1:{port}/orders"
    one = uvloop.run(open_loop(url, Load(rate=1, seconds=1), orders(url, case.sku, 1)))
    if one.statuses != {case.status: 1}:
        raise RuntimeError(f"{case.name} answers {one.statuses}, and not {case.status}")


def _offer(case: IntakeCase, port: int, seconds: int) -> Outcome:
    url = f"http://127.0.0.1:{port}/orders"
    load = Load(OFFERED_RATE, seconds, _CONNECTIONS, _PATIENCE_SECONDS)
    requests = orders(url, case.sku, len(load.schedule()))
    return uvloop.run(open_loop(url, load, requests))


def _cpu_seconds(process: Process) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def _empty(testbed: BenchTestbed, case: IntakeCase) -> None:
    if case.queue:
        testbed.empty(case.queue)
