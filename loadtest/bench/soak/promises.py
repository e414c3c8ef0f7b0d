"""Check the promises of a soak test: compare the answers to shoppers with the ledger."""

import asyncio
import time
from collections.abc import Sequence

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.ledger import Ledger
from loadtest.bench.soak.plan import Plan
from loadtest.bench.soak.shoppers import Shoppers
from loadtest.processes import scrape
from services.builtin.ranking import TOP_BUYERS

_EXPECTED = frozenset({202, 409, 429, 503})
_SERVICES = 4
_IDS_A_QUERY = 1_000
_MOST_BUYERS = 1_000_000
_DONE_WITHIN_SECONDS = 120


async def broken_promises(
    ledger: Ledger, shoppers: Shoppers, skus: Sequence[str], ports: Sequence[int], plan: Plan
) -> list[str]:
    """Return a line for each broken promise. `ports` are the consumers' metrics ports."""
    await _everything_done(ledger, shoppers.accepted, skus)
    broken = list((await ledger.audit()).wrong)
    for sale in await ledger.sales():
        outcomes = (await ledger.outcomes(sale.sku)).values()
        confirmed = [o for o in outcomes if o.status is Status.CONFIRMED]
        journeys = await ledger.effects.journeys(sale.sku)
        undone = _SERVICES * len(confirmed) - sum(j.services for j in journeys)
        buyers = await ledger.top_buyers(TOP_BUYERS, sale.sku, _MOST_BUYERS)
        ranked = sum(buyer.bought for buyer in buyers)
        failed = sum(outcome.status is Status.FAILED for outcome in outcomes)
        stock = sale.stock or 0
        broken += _said(
            (sale.sold > stock, f"sale {sale.sku}: sold {sale.sold} of {stock}"),
            (sale.sold < stock, f"sale {sale.sku}: sold only {sale.sold} of {stock}"),
            (undone != 0, f"sale {sale.sku}: {undone} effects of services too few"),
            (ranked != sale.sold, f"sale {sale.sku}: sold {sale.sold}, and {ranked} are ranked"),
            (failed > 0, f"sale {sale.sku}: {failed} orders in the dead queue"),
        )
    lost = len(shoppers.accepted) - await _decided(ledger, shoppers.accepted)
    twice = len(shoppers.accepted) - len(set(shoppers.accepted))
    fastest = max(_fastest(port) for port in ports)
    odd = {s: n for s, n in sorted(shoppers.statuses.items()) if s not in _EXPECTED}
    return broken + _said(
        (lost > 0, f"{lost} accepted orders were never decided"),
        (twice > 0, f"{twice} order ids were given twice"),
        (fastest > plan.drain_rate, f"{fastest:,.0f} orders released in one second"),
        (bool(odd), f"answers that no sale gives on purpose, by status (0: none): {odd}"),
        (shoppers.unanswered > 0, f"{shoppers.unanswered} orders were never answered"),
        (
            shoppers.limited_by_mistake > 0,
            f"{shoppers.limited_by_mistake} orders were refused by the limit of another client",
        ),
        (not shoppers.accepted, "no order was accepted"),
    )


def _said(*claims: tuple[bool, str]) -> list[str]:
    """Return the words of the claims that are true."""
    return [words for wrong, words in claims if wrong]


async def _everything_done(
    ledger: Ledger, accepted: Sequence[OrderId], skus: Sequence[str]
) -> None:
    """Wait for the drain and the services, for two minutes at most."""
    deadline = time.monotonic() + _DONE_WITHIN_SECONDS
    while time.monotonic() < deadline:
        journeys = [j for sku in skus for j in await ledger.effects.journeys(sku)]
        sold = sum(sale.sold for sale in await ledger.sales())
        if sum(journey.services for journey in journeys) >= _SERVICES * sold and await _decided(
            ledger, accepted
        ) == len(accepted):
            return
        await asyncio.sleep(1)


async def _decided(ledger: Ledger, ids: Sequence[OrderId]) -> int:
    found = 0
    for start in range(0, len(ids), _IDS_A_QUERY):
        found += len(await ledger.find(ids[start : start + _IDS_A_QUERY]))
    return found


def _fastest(port: int) -> float:
    return scrape(port).get(("flashsale_released_max_1s_orders", ""), 0.0)
