"""The terms of a sale as HTTP and the command line show them."""

from typing import Any

from flashsale.domain.moments import moment_at
from flashsale.domain.sales import Sale, sale_state


def shown_terms(sale: Sale, now: float) -> dict[str, Any]:
    """Return what was set for a sale, and how far it is sold at Unix time `now`."""
    return {
        "sku": sale.sku,
        "state": sale_state(sale, now),
        "title": sale.title,
        "price": sale.price,
        "currency": sale.currency,
        "picture_url": sale.picture_url,
        "needs_pass": sale.needs_pass,
        "stock": sale.stock,
        "sold": sale.sold,
        "held": sale.held,
        "remaining": sale.remaining,
        "customer_limit": sale.customer_limit,
        "hold_seconds": sale.hold_seconds,
        "waitlist": sale.waitlist,
        "waiting": sale.waiting,
        "cancellable": sale.cancellable,
        "extendable": sale.extendable,
        "opens_at": moment_at(sale.opens_at),
        "closes_at": moment_at(sale.closes_at),
    }
