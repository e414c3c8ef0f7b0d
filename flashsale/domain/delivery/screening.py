"""The rule before the delivery of orders whose stock is the shop's: refuse by the terms."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Purchases, Sale, refusal


def screen(
    batch: Sequence[Order],
    sales: Mapping[str, Sale],
    bought: Purchases,
    decided: Mapping[OrderId, Outcome],
    on_the_way: Iterable[Order] = (),
    maybe_known: Collection[OrderId] = (),
) -> dict[OrderId, Outcome | None]:
    """Return the outcome of each order, None if the order service of the shop has to decide it.

    `on_the_way` are orders that the order service is deciding. They count for the limit of a
    customer as if they were confirmed: nobody could take back the one that is too many. So an order
    is rejected by the limit even if the one before it is refused in the end. `maybe_known` are
    orders that the order service may have taken before it was sold out. An order that is decided
    keeps its outcome.
    """
    held = dict(bought)
    known: dict[OrderId, Outcome | None] = dict(decided)
    for order in on_the_way:
        if OrderId(order.id) not in known:
            known[OrderId(order.id)] = None
            _hold(held, order)
    screened: dict[OrderId, Outcome | None] = {}
    for order in batch:
        order_id = OrderId(order.id)
        if order_id not in known:
            sale = sales.get(order.sku)
            sold_out = sale is not None and sale.sold_out and order_id not in maybe_known
            left = 0 if sold_out else None
            reason = refusal(order, sale, left, held.get((order.sku, order.customer_id), 0))
            if reason is None:
                known[order_id] = None
                _hold(held, order)
            else:
                known[order_id] = Outcome(order, Status.REJECTED, reason)
        screened[order_id] = known[order_id]
    return screened


def _hold(held: dict[tuple[str, str], int], order: Order) -> None:
    key = order.sku, order.customer_id
    held[key] = held.get(key, 0) + order.quantity
