"""Operators change the stock of a sale that sells out again and again."""

import asyncio
import time
from typing import Any

from tests.faults.admin import SETTINGS, Told, audited, change_stock, stream
from tests.faults.scenario import scenario
from tests.faults.stand import Layout, Stand

_STOCK = 40
_TOLD_SECONDS = 1.0
_ROUNDS = 6


@scenario(
    "stock up and down at sold-out",
    layout=Layout(gateways=2, stock=_STOCK, settings=SETTINGS),
    rate=90.0,
)
async def stock(stand: Stand) -> None:
    changes: list[int] = []
    # Shoppers at one gateway are told of what is changed at the other.
    async with stream(stand, "/sales/tv/events", "gateway-2") as sale:
        for number in range(_ROUNDS):
            await stand.until(lambda: _last(sale) == "sold_out", "the sale to be sold out")
            below = await change_stock(stand, "tv", -1, f"below-{number}")
            assert (below.status, below.problem) == (409, "stock-below-sold"), below
            changes += await _more(stand, sale, number)
            changes += await _up_and_down(stand, number)
    assert await audited(stand, "sale.stock") == len(changes)
    assert await stand.count("stock FROM sales WHERE sku = 'tv'") == _STOCK + sum(changes)
    assert await stand.count("count(*) FROM sales WHERE sold > stock") == 0


async def _more(stand: Stand, sale: Told, number: int) -> list[int]:
    """Add stock, and see that a stream which said "sold out" says "open" within a second."""
    add = stand.dice.randint(30, 60)
    asked = time.monotonic()
    # The same request twice, as by a client that heard no answer: it is one change.
    first, again = await asyncio.gather(
        *(change_stock(stand, "tv", add, f"more-{number}") for _ in range(2))
    )
    assert (first.status, again.status) == (200, 200), (first, again)
    assert first.body["version"] == again.body["version"]
    await stand.until(lambda: sale.since(asked, _is_open) is not None, "the sale to be open")
    assert (sale.since(asked, _is_open) or 0.0) - asked < _TOLD_SECONDS
    return [add]


async def _up_and_down(stand: Stand, number: int) -> list[int]:
    """Have operators at both gateways add and take at once; return what was changed."""
    wanted = [stand.dice.choice((-25, -10, -3, 4, 8)) for _ in range(6)]
    answers = await asyncio.gather(
        *(
            change_stock(stand, "tv", add, f"round-{number}-{n}", f"gateway-{1 + n % 2}")
            for n, add in enumerate(wanted)
        )
    )
    for add, answer in zip(wanted, answers, strict=True):
        assert answer.status == 200 or (add < 0 and answer.problem == "stock-below-sold"), answer
    return [add for add, answer in zip(wanted, answers, strict=True) if answer.status == 200]


def _is_open(sale: Any) -> bool:
    return bool(sale["state"] == "open" and sale["remaining"] > 0)


def _last(sale: Told) -> str:
    return str(sale.events[-1][2]["state"]) if sale.events else ""
