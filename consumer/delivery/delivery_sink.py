"""A sink that delivers its orders to a receiver."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from consumer.delivery.dispatch import Dispatch
from consumer.delivery.grouped import Grouped
from consumer.delivery.shipment import Shipment, Written
from flashsale.domain.holds.rule import Allowance
from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Order
from flashsale.domain.sales import Verdict
from flashsale.ledger import NOTHING_ELSE, Begun, DeliveryBooks, Sink


@dataclass(frozen=True)
class _Batch:
    orders: Sequence[Order]
    now: float
    replayed: Sequence[str]
    traceparents: Mapping[str, str] = field(default_factory=dict)


class DeliverySink:
    """Decides orders and delivers them. See `flashsale.ledger.Sink`.

    Concurrent calls share their transactions.
    """

    def __init__(self, dispatch: Dispatch, books: DeliveryBooks, sink: Sink) -> None:
        """Write to the books of the lease of `dispatch`; `sink` is of the same lease."""
        self._dispatch = dispatch
        self._books = books
        self._sink = sink
        self._begin = Grouped(self._begin_together)
        self.steps: Mapping[str, float] = {}

    async def sell(
        self,
        batch: Sequence[Order],
        now: float,
        replayed: Sequence[str] = (),
        traceparents: Mapping[str, str] | None = None,
        allowance: Allowance = NOTHING_ELSE,
    ) -> Verdict:
        """Begin the deliveries of a batch, and return when all of them have ended.

        Orders that are delivered are bought, so there are no holds to end.

        An error of the ledger means that nobody knows what the receiver has: sell the batch again.
        """
        begun = await self._begin(_Batch(batch, now, replayed, traceparents or {}))
        waits: dict[OrderId, asyncio.Future[Written]] = {}
        new: list[Shipment] = []
        for parcel in begun.parcels:
            shipment = self._dispatch.in_hand.get(OrderId(parcel.order.id))
            if shipment is None:
                shipment = Shipment(parcel)
                new.append(shipment)
            if shipment.written is None:
                shipment.written = asyncio.get_running_loop().create_future()
            waits[shipment.id] = shipment.written
        self._dispatch.add(new)
        await self._until_written(list(waits.values()))
        outcomes = {OrderId(outcome.order.id): outcome for outcome in begun.verdict.outcomes}
        sales = {sale.sku: sale for sale in begun.verdict.sales}
        for order_id, written in waits.items():
            outcome, changed = written.result()
            sales |= {sale.sku: sale for sale in changed if sale.sku in sales}
            if outcome is not None:
                outcomes[order_id] = outcome
        found = (outcomes.get(OrderId(order.id)) for order in batch)
        return Verdict([outcome for outcome in found if outcome is not None], list(sales.values()))

    async def _until_written(self, waits: Sequence["asyncio.Future[Written]"]) -> None:
        failed = asyncio.create_task(self._dispatch.failed(), name="failure")
        # Another call may wait for the same order.
        written = asyncio.gather(*map(asyncio.shield, waits))
        try:
            await asyncio.wait((failed, written), return_when=asyncio.FIRST_COMPLETED)
            if written.done():
                written.result()
            else:
                failed.result()
        finally:
            failed.cancel()
            written.cancel()

    async def _begin_together(self, batches: Sequence[_Batch]) -> Sequence[Begun]:
        traceparents: dict[str, str] = {}
        for batch in batches:
            traceparents |= batch.traceparents
        begun = await self._books.begin(
            [order for batch in batches for order in batch.orders],
            max(batch.now for batch in batches),
            [order_id for batch in batches for order_id in batch.replayed],
            traceparents,
        )
        return [begun] if len(batches) == 1 else [_part(begun, batch) for batch in batches]

    async def fail(
        self, order_id: OrderId, reason: str, now: float, customer_id: str | None = None
    ) -> None:
        """Record an order as failed, as the ledger's sink does."""
        await self._sink.fail(order_id, reason, now, customer_id)


def _part(begun: Begun, batch: _Batch) -> Begun:
    """Return what belongs to one of several batches that were begun together."""
    ids = {order.id for order in batch.orders}
    skus = {order.sku for order in batch.orders}
    return Begun(
        Verdict(
            [outcome for outcome in begun.verdict.outcomes if outcome.order.id in ids],
            [sale for sale in begun.verdict.sales if sale.sku in skus],
        ),
        [parcel for parcel in begun.parcels if parcel.order.id in ids],
    )
