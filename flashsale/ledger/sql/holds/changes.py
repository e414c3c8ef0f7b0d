"""Write what becomes of orders that were decided before, each with its event."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from sqlalchemy import Update, bindparam, func, literal_column, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.holds.payments import Payment, RefundReason
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger.sql.bulk import Computed, insert_columns, update_columns
from flashsale.ledger.sql.sell import insert_events
from flashsale.ledger.sql.tables import orders, outbox, sales
from flashsale.messages.events import NO_FACTS, EventFacts, event_topic, new_event_id

_encode = msgspec.json.Encoder().encode


T = TypeVar("T")


def _said(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value


def facts_of(
    outcome: Outcome, payment: Payment | None = None, *, was_confirmed: bool = False
) -> str | None:
    """Return the facts of an event that the order may not show any more when it is published."""
    expires_at = outcome.expires_at if outcome.status is Status.HELD else None
    place = outcome.place if outcome.status is Status.WAITLISTED else None
    if payment is None:
        return _facts(outcome.reason, expires_at, place, was_confirmed=was_confirmed)
    return _facts(
        *(outcome.reason, expires_at, place, payment.payment_id),
        *(payment.amount, payment.currency),
        was_confirmed=was_confirmed,
    )


# The holds of a batch end at the same moment, so almost all of their events have the same facts.
@lru_cache(maxsize=64)
def _facts(
    reason: str | None,
    expires_at: float | None,
    place: int | None,
    payment_id: str | None = None,
    amount: str | None = None,
    currency: str | None = None,
    *,
    was_confirmed: bool = False,
) -> str | None:
    facts = EventFacts(
        reason=reason,
        expires_at=_said(expires_at),
        place=_said(place),
        payment_id=_said(payment_id),
        amount=_said(amount),
        currency=_said(currency),
        was_confirmed=was_confirmed or UNSET,
    )
    return None if facts == NO_FACTS else _encode(facts).decode()


_ONE_MORE_EVENT: Computed = (("events", func.coalesce(orders.c.events, 1) + literal_column("1")),)


@lru_cache(maxsize=1)
def _set_counts() -> Update:
    return (
        update(sales)
        .where(sales.c.sku == bindparam("of_sku"))
        .values(
            sold=bindparam("now_sold"),
            held=bindparam("now_held"),
            waiting=bindparam("now_waiting"),
            waited=bindparam("now_waited"),
            line_head=bindparam("now_line_head"),
        )
    )


async def change_orders(
    connection: AsyncConnection,
    moved: Sequence[Outcome],
    now: float,
    payments: Mapping[str, Payment] | None = None,
    confirmed_at: Mapping[str, float] | None = None,
) -> None:
    """Write the new states of orders, and an event for each, at Unix time `now`.

    `payments` are those that have paid, `confirmed_at` the times of orders that were confirmed and
    are cancelled, by order id.
    """
    if not moved:
        return
    cancelled = confirmed_at or {}
    times = dict(cancelled)
    times.update({o.order.id: now for o in moved if o.status is Status.CONFIRMED})
    columns: dict[str, Sequence[Any]] = {
        "status": [outcome.status.value for outcome in moved],
        "reason": [outcome.reason for outcome in moved],
        "remaining": [outcome.remaining for outcome in moved],
        "decided_at": [now] * len(moved),
        "expires_at": [outcome.expires_at for outcome in moved],
        "confirmed_at": [times.get(outcome.order.id) for outcome in moved],
    }
    ids = [outcome.order.id for outcome in moved]
    await update_columns(connection, orders, ids, columns, _ONE_MORE_EVENT)
    paid = payments or {}
    facts = [
        facts_of(o, paid.get(o.order.id), was_confirmed=o.order.id in cancelled) for o in moved
    ]
    await insert_events(connection, moved, now, None, facts)


async def tell_refunds(
    connection: AsyncConnection,
    due: Sequence[tuple[Outcome, Payment, RefundReason]],
    now: float,
) -> None:
    """Write an event for each payment that has to be given back."""
    if not due:
        return
    facts = [
        facts_of(replace(outcome, status=Status.CANCELLED, reason=reason), payment)
        for outcome, payment, reason in due
    ]
    await insert_columns(
        connection,
        outbox,
        {
            "event_id": [new_event_id() for _ in due],
            "order_id": [outcome.order.id for outcome, _, _ in due],
            "topic": [event_topic("refund_due", outcome.order.sku) for outcome, _, _ in due],
            "created_at": now,
            "facts": facts,
        },
    )
    # An order may be there twice, and a statement changes a row once.
    more = Counter(outcome.order.id for outcome, _, _ in due)
    while more:
        await update_columns(connection, orders, list(more), {}, _ONE_MORE_EVENT)
        more -= Counter(list(more))


async def set_counts(
    connection: AsyncConnection, before: Mapping[str, Sale], after: Sequence[Sale]
) -> None:
    """Write how far sales are sold. Their rows are locked."""
    rows: list[dict[str, Any]] = [
        {
            "of_sku": sale.sku,
            "now_sold": sale.sold,
            "now_held": sale.held,
            "now_waiting": sale.waiting,
            "now_waited": sale.waited,
            "now_line_head": sale.line_head,
        }
        for sale in sorted(after, key=lambda sale: sale.sku)
        if sale != before[sale.sku]
    ]
    if rows:
        await connection.execute(_set_counts(), rows)
