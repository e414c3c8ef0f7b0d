"""A sale with holds in the demo: its terms, how long it takes, and what became of the orders."""

import asyncio
import time
from collections.abc import Callable, Iterable

from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.order_states import OPEN_IN_LEDGER, Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from flashsale.ledger.holdings import Decided
from flashsale.runtime.settings import Settings
from loadtest.demo.watch import Watch

HOLD_SECONDS = 10
SHARE_OF_SPIKE_UNTIL_HELD = 0.2
# After a hold ends, the next in line are served, and take their time to pay.
_SERVED_SECONDS = 20
# The holds of those who come last, and leave.
_ENDED_WITHIN_SECONDS = 3 * (HOLD_SECONDS + GRACE_SECONDS)
_LATE_SECONDS = 5
_LOOK_SECONDS = 0.25


def sale_with_holds(sku: str, stock: int) -> Sale:
    """Return a sale whose waiting list has room for half of the stock."""
    return Sale(sku, stock, hold_seconds=HOLD_SECONDS, waitlist=max(1, stock // 2))


def load_with_holds(settings: Settings) -> dict[str, str]:
    """Return the variables of the shoppers, who stay until the first holds have ended."""
    secret = "" if settings.payment_secret is None else settings.payment_secret.get_secret_value()
    after = HOLD_SECONDS + GRACE_SECONDS + _SERVED_SECONDS
    return {
        "FLASHSALE_LOAD_PAYMENT_SECRET": secret,
        "FLASHSALE_LOAD_AFTER": str(after),
        "FLASHSALE_LOAD_PAY_SECONDS": str(HOLD_SECONDS / 2),
        "FLASHSALE_LOAD_LATE_SECONDS": str(GRACE_SECONDS + 2),
    }


def figures(orders: Iterable[Decided]) -> dict[str, int]:
    """Return how many orders were held, paid and so on, by all states that they were in."""
    names = "held", "paid", "expired", "paid_late", "waited", "served", "refunds_due", "open"
    found = dict.fromkeys(names, 0)
    for order in orders:
        states = {*order.earlier, order.status}
        held, waited = Status.HELD in states, Status.WAITLISTED in states
        paid, expired = held and Status.CONFIRMED in states, Status.EXPIRED in states
        found["held"] += held
        found["paid"] += paid
        found["expired"] += expired
        found["paid_late"] += paid and expired
        found["waited"] += waited
        found["served"] += held and waited
        found["open"] += order.status in OPEN_IN_LEDGER
        found["refunds_due"] += order.earlier.count("refund_due")
    return found


def overdue(outcomes: Iterable[Outcome], now: float) -> int:
    """Return how many holds should have ended before Unix time `now`."""
    ended_by = now - GRACE_SECONDS - _LATE_SECONDS
    held = (outcome for outcome in outcomes if outcome.status is Status.HELD)
    return sum((outcome.expires_at or 0.0) < ended_by for outcome in held)


def lines(holds: dict[str, int]) -> list[tuple[str, str]]:
    """Return the rows of a report about `figures`."""
    # Shoppers who come last may hold something after the demo.
    last = [("still held or in line", f"{holds['open']:,}")] if holds["open"] else []
    return [
        ("held for a payment", f"{holds['held']:,}"),
        ("  paid", f"{holds['paid']:,}"),
        ("  expired, paid then", f"{holds['expired']:,}, {holds['paid_late']:,}"),
        ("waited in line, served", f"{holds['waited']:,}, {holds['served']:,}"),
        ("payments to give back", f"{holds['refunds_due']:,}"),
        *last,
    ]


async def still_open(settings: Settings, sku: str) -> int:
    """Return how many orders are held or wait in line."""
    async with open_ledger(settings.database_url, settings.database_schema) as ledger:
        outcomes = await ledger.outcomes(sku)
    return sum(outcome.status in OPEN_IN_LEDGER for outcome in outcomes.values())


async def holds_ended(settings: Settings, watch: Watch, show: Callable[[], None]) -> None:
    """Wait until nothing is held and nobody waits, for two minutes at most.

    `show` is called after each sample.
    """
    deadline = time.monotonic() + _ENDED_WITHIN_SECONDS
    while time.monotonic() < deadline:
        now = watch.sample()
        show()
        if not (now.held or now.waiting or now.backlog) and not await still_open(
            settings, watch.sku
        ):
            return
        await asyncio.sleep(_LOOK_SECONDS)
