"""Cancel orders and extend holds, each in one transaction that locks the row of the sale first."""

from functools import lru_cache
from typing import Any

from msgspec.structs import replace
from sqlalchemy import TextClause, bindparam, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.holds.cancellations import (
    CancelRefusal,
    ExtendRefusal,
    extended_end,
    why_not_cancel,
)
from flashsale.domain.holds.counts import Counts
from flashsale.domain.holds.payments import Disposition, Payment, RefundReason
from flashsale.domain.order_states import CancelReason, Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Verdict
from flashsale.ledger.errors import LedgerBusy
from flashsale.ledger.hold_port import Cancellation, Cancelled, Extended
from flashsale.ledger.sql.holds.changes import change_orders, facts_of, set_counts, tell_refunds
from flashsale.ledger.sql.holds.locking import Locked, lock_orders
from flashsale.ledger.sql.holds.payment_tables import PAYS, payments
from flashsale.ledger.sql.holds.tombstones import is_bare
from flashsale.ledger.sql.operators.audit_log import (
    as_request,
    database_time,
    earlier_result,
    write_entry,
)
from flashsale.ledger.sql.sell import insert_events
from flashsale.ledger.sql.tables import orders


async def cancel(
    connection: AsyncConnection, wanted: Cancellation, now: float
) -> Cancelled | CancelRefusal:
    """Cancel an order in the connection's transaction, at Unix time `now`.

    An order that is still queued gets its row here. The drain reads it when the order comes, and
    decides nothing: both lock the row of the sale first.
    """
    queued = wanted.queued
    locked = await lock_orders(connection, [wanted.order_id], [queued.sku] if queued else [])
    outcome = locked.outcomes.get(wanted.order_id)
    whose = wanted.customer_id
    if outcome is None and queued is None:
        return CancelRefusal.UNKNOWN_ORDER
    known = outcome.order if outcome is not None else queued
    # Of a bare tombstone nobody knows whose it is.
    if whose is not None and known is not None and known.customer_id not in (whose, ""):
        return CancelRefusal.UNKNOWN_ORDER
    request = as_request("order.cancel", wanted.order_id, {})
    if wanted.author is not None:
        # The order is cancelled already if the same request came before.
        await earlier_result(connection, wanted.author, request)
    if outcome is not None and outcome.status is Status.CANCELLED:
        return Cancelled(outcome, Verdict([], []), again=True)
    sale = None if known is None else locked.sales.get(known.sku)
    refusal = why_not_cancel(outcome, sale)
    if refusal is not None:
        return refusal
    reason = CancelReason.BY_OPERATOR if wanted.by_operator else CancelReason.BY_CUSTOMER
    if wanted.author is not None:
        before = Status.QUEUED if outcome is None else outcome.status
        await write_entry(
            *(connection, await database_time(connection), wanted.author, "order.cancel"),
            *(wanted.order_id, {"status": before}, {"status": Status.CANCELLED}, request),
        )
    if outcome is not None:
        return await _cancel_decided(connection, outcome, reason, locked, now)
    assert queued is not None  # noqa: S101 it was looked at above
    gone = Outcome(replace(queued, id=wanted.order_id), Status.CANCELLED, reason)
    await _write_tombstone(connection, gone, now)
    return Cancelled(gone, Verdict([], [], [gone]))


async def _cancel_decided(
    connection: AsyncConnection, before: Outcome, reason: CancelReason, locked: Locked, now: float
) -> Cancelled:
    order = before.order
    gone = replace(before, status=Status.CANCELLED, reason=reason)
    counts = Counts(locked.sales[order.sku])
    counts.change(before.status, gone)
    confirmed_at = {}
    if before.status is Status.CONFIRMED:
        confirmed_at = {order.id: locked.decided_at[order.id]}
    await change_orders(connection, [gone], now, confirmed_at=confirmed_at)
    if before.status is Status.CONFIRMED:
        await _give_back(connection, gone, now)
    after = counts.after()
    await set_counts(connection, locked.sales, [after])
    return Cancelled(gone, Verdict([], [after], [gone]))


async def _give_back(connection: AsyncConnection, gone: Outcome, now: float) -> None:
    """Have the payment of a cancelled order given back."""
    paid = await connection.execute(
        select(payments).where(PAYS, payments.c.order_id == gone.order.id)
    )
    for row in paid.all():
        await connection.execute(
            update(payments)
            .where(payments.c.payment_id == row.payment_id)
            .values(disposition=Disposition.REFUND_DUE.value, reason=RefundReason.CANCELLED.value)
        )
        payment = Payment(row.order_id, row.payment_id, "succeeded", row.amount, row.currency)
        await tell_refunds(connection, [(gone, payment, RefundReason.CANCELLED)], now)


@lru_cache(maxsize=1)
def _insert_tombstone() -> TextClause:
    names = (
        *("id", "sku", "customer_id", "quantity", "status", "reason"),
        *("accepted_at", "decided_at", "events"),
    )
    return text(
        f"INSERT INTO orders ({', '.join(names)}) VALUES ({', '.join(':' + n for n in names)})"  # noqa: S608
        " ON CONFLICT DO NOTHING"
    ).bindparams(*(bindparam(name, type_=orders.c[name].type) for name in names))


async def _write_tombstone(connection: AsyncConnection, gone: Outcome, now: float) -> None:
    order = gone.order
    bare = is_bare(gone)
    values: dict[str, Any] = {
        "id": order.id,
        "sku": order.sku or None,
        "customer_id": order.customer_id or None,
        "quantity": order.quantity or None,
        "status": gone.status.value,
        "reason": gone.reason,
        "accepted_at": order.accepted_at or None,
        "decided_at": now,
        "events": 0 if bare else 1,
    }
    written = await connection.execute(_insert_tombstone(), values)
    if not written.rowcount:
        # Another sku came with the same key, and the drain has just decided that order.
        raise LedgerBusy("the order was decided at this moment: try again")
    if not bare:
        await insert_events(connection, [gone], now, None, [facts_of(gone)])


async def extend(
    connection: AsyncConnection, order_id: str, now: float, customer_id: str | None
) -> Extended | ExtendRefusal:
    """Extend a hold in the connection's transaction, at Unix time `now`."""
    locked = await lock_orders(connection, [order_id])
    outcome = locked.outcomes.get(order_id)
    if outcome is None or customer_id not in (None, outcome.order.customer_id):
        return ExtendRefusal.UNKNOWN_ORDER
    ends = extended_end(outcome, locked.sales.get(outcome.order.sku), now)
    if isinstance(ends, ExtendRefusal):
        return ends
    await connection.execute(
        update(orders).where(orders.c.id == order_id).values(expires_at=ends, extended=True)
    )
    return Extended(replace(outcome, expires_at=ends, extended=True))
