"""Measure the contenders in turns, each on servers of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import track

from loadtest.bench.brokers.bound import orders_past_bound
from loadtest.bench.brokers.closed_loop import NO_BOUND, ClosedLoop, closed_loop, empty
from loadtest.bench.brokers.contenders import Contender
from loadtest.bench.brokers.fsyncs import fsyncs_per_1000
from loadtest.bench.brokers.kill import Killed, kill
from loadtest.bench.brokers.spike import BOUND, Spike, spike
from loadtest.servers import ServerDidNotStart, ServerNotFound

_REFUSED_SECONDS = 1.0


@dataclass(frozen=True)
class Turn:
    """The figures of one turn. `refused` and `past_bound` are None if the queue has no bound."""

    loop: ClosedLoop
    spike: Spike
    refused: ClosedLoop | None
    past_bound: int | None


@dataclass(frozen=True)
class Once:
    """What is measured once. `fsyncs` is None if strace can't run here."""

    killed: Killed
    fsyncs: float | None


async def measure_turn(one: Contender, seconds: float) -> Turn:
    """Measure a contender under load, when it is full, and in the spike."""
    with one.run() as running:
        async with one.open(running.address, NO_BOUND) as queue:
            loop = await closed_loop(queue, running.server, seconds)
    refused = past_bound = None
    with one.run() as running:
        if one.bounded:
            past_bound = await orders_past_bound(one, running)
        async with one.open(running.address, BOUND) as queue:
            if one.bounded:
                refused = await closed_loop(queue, running.server, _REFUSED_SECONDS)
            await empty(queue)
        async with one.open(running.address, BOUND) as queue:
            return Turn(loop, await spike(queue), refused, past_bound)


async def measure_once(one: Contender, seconds: float) -> Once:
    """Kill the server under load, and count its syncs in a run under strace."""
    with one.run() as running:
        killed = await kill(one, running, seconds)
    try:
        return Once(killed, await fsyncs_per_1000(one, seconds))
    except (ServerNotFound, ServerDidNotStart) as error:
        Console().print(f"{one.title}: no syncs counted: {error}")
        return Once(killed, None)


async def measure_all(
    contenders: Sequence[Contender], rounds: int, seconds: float
) -> tuple[dict[str, list[Turn]], dict[str, Once]]:
    """Measure all contenders once a round, each round beginning with another one."""
    once = {one.name: await measure_once(one, seconds) for one in track(contenders, "kill, syncs")}
    turns: dict[str, list[Turn]] = {one.name: [] for one in contenders}
    for number in track(range(rounds * len(contenders)), "turns"):
        # Each round begins a third further on.
        place = number + number // len(contenders) * (len(contenders) // 3 + 1)
        one = contenders[place % len(contenders)]
        turns[one.name].append(await measure_turn(one, seconds))
    return turns, once
