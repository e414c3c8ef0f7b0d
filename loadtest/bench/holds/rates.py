"""How fast orders are accepted and drained, with holds and without, in turns."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from rich.progress import track

from loadtest.bench.scale.drain import WARM_UP, Drained, drain_cost
from loadtest.bench.scale.intake import IntakeResult, accept
from loadtest.bench.scale.testbed import BenchTestbed, Gateway, Shop
from loadtest.processes import ProcessFailed, scrape
from loadtest.servers import free_port

# So long that none ends in a slow run.
HOLD_SECONDS = 86_400
_PACE = {"drain_rate": "2000"}
_PACED_ORDERS = 10_000
_ACTIVE_WITHIN_SECONDS = 30
_LOOK_SECONDS = 0.05


class _Round(Protocol):
    @property
    def per_second(self) -> float: ...

    @property
    def cpu_us(self) -> float: ...


@dataclass(frozen=True)
class Rates:
    """The rates of each round, in orders a second, by whether the sale has holds."""

    accepted: dict[bool, list[IntakeResult]] = field(default_factory=lambda: {False: [], True: []})
    paced: dict[bool, list[Drained]] = field(default_factory=lambda: {False: [], True: []})
    drained: dict[bool, list[Drained]] = field(default_factory=lambda: {False: [], True: []})

    def figures(self) -> dict[str, float]:
        """Return the medians, and the medians of the ratios of rates that were measured in turn."""
        accepted, paced, drained = self.accepted, self.paced, self.drained
        return {
            **_figures("accepted", accepted[False], accepted[True]),
            **_figures("paced", paced[False], paced[True]),
            **_figures("drain", drained[False], drained[True]),
        }


def _figures(name: str, off: Sequence[_Round], on: Sequence[_Round]) -> dict[str, float]:
    rates = [(ours.per_second, theirs.per_second) for ours, theirs in zip(on, off, strict=True)]
    costs = [(theirs.cpu_us, ours.cpu_us) for ours, theirs in zip(on, off, strict=True)]
    return {
        f"{name}_per_second_holds_off": round(median(each.per_second for each in off)),
        f"{name}_per_second_holds_on": round(median(each.per_second for each in on)),
        f"{name}_ratio_holds_on_to_off": _ratio(rates),
        f"{name}_cpu_us_holds_off": round(median(each.cpu_us for each in off), 1),
        f"{name}_cpu_us_holds_on": round(median(each.cpu_us for each in on), 1),
        f"{name}_cpu_ratio_holds_off_to_on": _ratio(costs),
    }


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    return round(median(first / second for first, second in pairs), 3)


def measure_rates(testbed: BenchTestbed, rounds: int, seconds: int, orders: int) -> Rates:
    """Measure two sales on the same servers in turns, one with holds and one without."""
    rates = Rates()
    shops = {False: testbed.shop(), True: testbed.shop(hold_seconds=HOLD_SECONDS)}
    with ExitStack() as stack:
        gateways = {holds: stack.enter_context(shop.gateway()) for holds, shop in shops.items()}
        for number in track(range(rounds), "accepting"):
            for holds in _in_turn(number):
                one = _accept(testbed, shops[holds], gateways[holds], seconds)
                rates.accepted[holds].append(one)
    for shop in shops.values():
        shop.empty()
    for number in track(range(rounds), "draining"):
        for holds in _in_turn(number):
            shop, servers = shops[holds], testbed.server.processes
            asyncio.run(shop.fill(WARM_UP + _PACED_ORDERS))
            paced = drain_cost(shop, _PACED_ORDERS, servers, **_PACE, drain_batch="")
            rates.paced[holds].append(paced)
            asyncio.run(shop.fill(WARM_UP + orders))
            rates.drained[holds].append(drain_cost(shop, orders, servers))
    for shop in shops.values():
        shop.empty()
    return rates


def _in_turn(number: int) -> tuple[bool, bool]:
    """Return which sale comes first in a round, as the second finds the servers busier."""
    return (False, True) if number % 2 == 0 else (True, False)


def _accept(testbed: BenchTestbed, shop: Shop, gateway: Gateway, seconds: int) -> IntakeResult:
    """Send orders while a drain decides them at its rate, of which the gateway is told."""
    port = free_port()
    with shop.consumer(**_PACE, metrics_port=str(port)) as consumer:
        consumer.await_url(f"http://127.0.0.1:{port}/metrics")
        deadline = time.monotonic() + _ACTIVE_WITHIN_SECONDS
        while not scrape(port).get(("flashsale_drain_active", "")):
            if time.monotonic() > deadline:
                raise ProcessFailed(consumer.output[-2000:])
            time.sleep(_LOOK_SECONDS)
        return accept(testbed.node, testbed.folder, [gateway], seconds)
