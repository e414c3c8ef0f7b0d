"""End deliveries: write what the order service of the shop has answered."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import bindparam, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.delivery.answers import Refused
from flashsale.domain.delivery.settlement import Settlement, settle
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Reason, Status
from flashsale.domain.sales import Verdict
from flashsale.ledger.delivery_port import Ended
from flashsale.ledger.sql.bulk import Column, update_columns
from flashsale.ledger.sql.delivery.beginning import delete_orders, lock_sales
from flashsale.ledger.sql.sell import (
    add_sold,
    decided_before,
    insert_events,
    insert_orders,
    sold_items,
)
from flashsale.ledger.sql.tables import orders, sales

_set_sold_out = update(sales).where(sales.c.sku == bindparam("of_sku")).values(sold_out=True)


async def end(connection: AsyncConnection, ends: Sequence[Ended], now: float) -> Verdict:
    """Write the ends of deliveries inside the connection's transaction, at Unix time `now`.

    Orders, stock and outbox change together. What is written already stays, and is in the verdict
    as it is. A decided order of which there is no row is left out.
    """
    # The rows of sales before those of orders, as everywhere: else two could wait for each other.
    terms = await lock_sales(connection, {e.order.sku for e in ends if not e.decided})
    recorded = await decided_before(connection, [ended.order.id for ended in ends])
    outcomes = dict(recorded)
    settled: dict[OrderId, tuple[Settlement, Ended]] = {}
    for ended in ends:
        order_id = OrderId(ended.order.id)
        if order_id not in outcomes and ended.decided:
            continue
        settlement = settle(ended.order, outcomes.get(order_id), ended.answer)
        if settlement is not None:
            outcomes[order_id] = settlement.outcome
            settled[order_id] = settlement, ended
    was_confirmed = {i for i, o in recorded.items() if o.status is Status.CONFIRMED}
    told = [settled[i] for i in settled if i in was_confirmed]
    new = [settled[i] for i in settled if i not in was_confirmed]
    await _tell(connection, told)
    await delete_orders(connection, [e.order.id for _, e in new if OrderId(e.order.id) in recorded])
    sold = await _decide(connection, new, now)
    sold_out = {
        ended.order.sku
        for _, ended in new
        if isinstance(ended.answer, Refused) and ended.answer.reason is Reason.SOLD_OUT
    } & {sku for sku, sale in terms.items() if sale.stock is None}
    if sold_out:
        await connection.execute(_set_sold_out, [{"of_sku": sku} for sku in sorted(sold_out)])
    return Verdict(
        [outcomes[i] for ended in ends if (i := OrderId(ended.order.id)) in outcomes],
        [
            replace(
                sale,
                sold=sale.sold + sold[sale.sku],
                sold_out=sale.sold_out or sale.sku in sold_out,
            )
            for sale in terms.values()
        ],
    )


async def _tell(connection: AsyncConnection, told: Sequence[tuple[Settlement, Ended]]) -> None:
    """Write the state of the deliveries of orders that were confirmed before."""
    if told:
        await update_columns(
            connection,
            orders,
            [settlement.outcome.order.id for settlement, _ in told],
            {
                "delivery": [settlement.outcome.delivery for settlement, _ in told],
                "delivery_attempts": [ended.attempts for _, ended in told],
                "delivery_reason": [settlement.delivery_reason for settlement, _ in told],
                "order_ref": [settlement.outcome.order_ref for settlement, _ in told],
            },
        )


async def _decide(
    connection: AsyncConnection, new: Sequence[tuple[Settlement, Ended]], now: float
) -> Counter[str]:
    """Write the outcomes of orders that the order service has decided; return what is sold."""
    outcomes = [settlement.outcome for settlement, _ in new]
    sold = sold_items(outcomes)
    if not outcomes:
        return sold
    more: dict[str, Column] = {
        "order_ref": [outcome.order_ref for outcome in outcomes],
        "delivery": [outcome.delivery for outcome in outcomes],
        "delivery_attempts": [ended.attempts for _, ended in new],
    }
    await insert_orders(connection, outcomes, now, more)
    decided = [outcome for outcome in outcomes if outcome.status is not Status.FAILED]
    if decided:
        traceparents = {e.order.id: e.traceparent for _, e in new if e.traceparent is not None}
        await insert_events(connection, decided, now, traceparents)
    await add_sold(connection, sold)
    return sold
