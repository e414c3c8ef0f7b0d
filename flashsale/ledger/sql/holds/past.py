"""The states that an order had before, as far as it has had events of them."""

from typing import Any

from sqlalchemy import Row

from flashsale.domain.order_states import Status

REFUND_DUE = "refund_due"


def earlier_events(row: Row[*tuple[Any, ...]], refunds: int) -> tuple[str, ...]:
    """Return what the events of an order said before the one of its present state.

    `refunds` is how many payments of it have to be given back. An order that never was held and
    never waited has had no other event.
    """
    earlier = [REFUND_DUE] * refunds
    if row.place is not None and row.status != Status.WAITLISTED:
        earlier.append(Status.WAITLISTED.value)
    if row.expires_at is not None and row.status != Status.HELD:
        earlier.append(Status.HELD.value)
    if row.confirmed_at is not None and row.status == Status.CANCELLED:
        earlier.append(Status.CONFIRMED.value)
    if row.events is not None and row.events > len(earlier) + 1:
        # A payment came after the end of the hold.
        earlier.append(Status.EXPIRED.value)
    return tuple(earlier)
