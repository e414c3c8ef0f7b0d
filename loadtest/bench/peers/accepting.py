"""One turn at taking orders: a closed loop, and the open one that is like a sale."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvloop

from loadtest.bench.peers.arena import SKU, SOLD_OUT_SKU, Arena
from loadtest.bench.peers.contestants import CONTESTANTS, GATEWAY, Contestant
from loadtest.load.closed_loop import ORDER, Answers, closed_loop
from loadtest.load.open_loop import Load, Outcome, open_loop, orders
from loadtest.processes import Process

OFFERED_RATE = 5_000
SOLD_OUT = "sold_out"
QUEUE_FULL = "queue_full"

_WARM_SECONDS = 1
_CONNECTIONS = 512
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class Entrant:
    """A gateway, with other settings perhaps; what it is asked for, and what it shall answer."""

    name: str
    contestant: Contestant
    sku: str = SKU
    status: int = 202
    queue: str = ""  # that is to be emptied
    full: str = ""  # a queue that is to be full
    changes: Mapping[str, str] = field(default_factory=dict)

    def script(self, folder: Path) -> Path:
        """What wrk runs. It counts answers that are none of those wanted."""
        text = ORDER.replace(f'"sku": "{SKU}"', f'"sku": "{self.sku}"')
        if self.status >= 400:
            wanted = "summary.requests - summary.errors.status"
            text = text.replace("summary.errors.status", wanted)
        file = folder / f"{self.name}.lua"
        file.write_text(text)
        return file


ENTRANTS = (
    *(Entrant(one.name, one, queue=one.queue) for one in CONTESTANTS),
    Entrant(SOLD_OUT, GATEWAY, sku=SOLD_OUT_SKU, status=409),
    Entrant(
        QUEUE_FULL,
        GATEWAY,
        status=503,
        full=f"full.{GATEWAY.queue}",
        changes={"FLASHSALE_BROKER_PREFIX": "full.", "FLASHSALE_QUEUE_MAX_LENGTH": "1"},
    ),
)


@dataclass(frozen=True)
class Accepted:
    """What came of a turn. `offered` is the open loop; one that refuses has none."""

    answers: Answers
    cpu_us: float
    offered: Outcome | None


def take_turn(arena: Arena, entrant: Entrant, folder: Path, seconds: int) -> Accepted:
    """Start it, measure it, end it, and leave nothing in its queue.

    Raises `RuntimeError` if an answer is not the one to be had.
    """
    script = entrant.script(folder)
    with arena.gateway(entrant.contestant, entrant.changes) as (process, port):
        if entrant.full:
            arena.fill(entrant.full)
        _check(entrant, port)
        closed_loop(port, script, _WARM_SECONDS)
        _empty(arena, entrant)
        before = _cpu_seconds(process)
        answers = closed_loop(port, script, seconds)
        cpu = _cpu_seconds(process) - before
        _empty(arena, entrant)
        offered = _offer(entrant, port, seconds) if entrant.status == 202 else None
        _empty(arena, entrant)
    return Accepted(answers, 1e6 * cpu / answers.count, offered)


def _check(entrant: Entrant, port: int) -> None:
    # wrk tells good answers from bad ones, and not one refusal from another.
    url = f"http://127.0.0.1:{port}/orders"
    one = uvloop.run(open_loop(url, Load(rate=1, seconds=1), orders(url, entrant.sku, 1)))
    if one.statuses != {entrant.status: 1}:
        raise RuntimeError(f"{entrant.name} answers {one.statuses}, and not {entrant.status}")


def _offer(entrant: Entrant, port: int, seconds: int) -> Outcome:
    url = f"http://127.0.0.1:{port}/orders"
    load = Load(OFFERED_RATE, seconds, _CONNECTIONS, _PATIENCE_SECONDS)
    requests = orders(url, entrant.sku, len(load.schedule()))
    return uvloop.run(open_loop(url, load, requests))


def _cpu_seconds(process: Process) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def _empty(arena: Arena, entrant: Entrant) -> None:
    if entrant.queue:
        arena.empty(entrant.queue)
