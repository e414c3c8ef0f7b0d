"""A ledger in dictionaries, which decides by the product's own rule.

The real one on SQLite takes a millisecond a batch, and most of that in the layers in between; the
machine plays on that too, for fewer steps.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from flashsale.domain.audit_entries import PROGRAM, Author
from flashsale.domain.controls import Controls
from flashsale.domain.holds.rule import Allowance
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale, Verdict, decide
from flashsale.ledger.drain_port import NOTHING_ELSE, BeforeCommit, at_once
from flashsale.ledger.hold_port import Due
from flashsale.messages.events import event_topic


class QuickLedger:
    """Sales, orders and the outbox: `Sales`, `Orders` and `Leases`."""

    def __init__(self, sales: Sequence[Sale]) -> None:
        self.terms = {sale.sku: sale for sale in sales}
        self.orders: dict[OrderId, Outcome] = {}
        self.events: dict[str, str] = {}

    async def create_sale(self, sale: Sale, author: Author = PROGRAM) -> Sale:
        self.terms[sale.sku] = sale
        return sale

    async def sales(self) -> list[Sale]:
        return list(self.terms.values())

    async def find(self, order_ids: Sequence[OrderId]) -> dict[OrderId, Outcome]:
        return {
            order_id: self.orders[order_id] for order_id in order_ids if order_id in self.orders
        }

    async def outcomes(self, sku: str) -> dict[str, Outcome]:
        return {
            str(order_id): outcome
            for order_id, outcome in self.orders.items()
            if outcome.order.sku in (sku, "")
        }

    @asynccontextmanager
    async def hold_drain(self, name: str) -> AsyncIterator["QuickLease"]:
        yield QuickLease(self)


class QuickLease:
    """A lease that nobody can lose."""

    def __init__(self, ledger: QuickLedger) -> None:
        self._ledger = ledger
        self.controls = Controls()
        self.kept_rate: float | None = None
        self.clock_reading = None

    def open_sink(self, before_commit: BeforeCommit = at_once) -> "QuickSink":
        return QuickSink(self._ledger)

    async def touch(self) -> None:
        """There is no session."""

    async def due(self, now: float, most: int) -> Due:
        return Due()


class QuickSink:
    """What `flashsale.ledger.sql.sell` does in a transaction, here without one."""

    def __init__(self, ledger: QuickLedger) -> None:
        self._ledger = ledger
        self.steps: Mapping[str, float] = {}

    async def sell(
        self,
        batch: Sequence[Order],
        now: float,
        replayed: Sequence[str] = (),
        traceparents: Mapping[str, str] | None = None,
        allowance: Allowance = NOTHING_ELSE,
    ) -> Verdict:
        ledger = self._ledger
        for order_id in map(OrderId, replayed):
            if order_id in ledger.orders and ledger.orders[order_id].status is Status.FAILED:
                del ledger.orders[order_id]
        decided = await ledger.find([OrderId(order.id) for order in batch])
        bought: dict[tuple[str, str], int] = {}
        for outcome in ledger.orders.values():
            if outcome.status is Status.CONFIRMED:
                who = outcome.order.sku, outcome.order.customer_id
                bought[who] = bought.get(who, 0) + outcome.order.quantity
        skus = sorted({order.sku for order in batch} & ledger.terms.keys())
        outcomes = decide(batch, {sku: ledger.terms[sku] for sku in skus}, bought, decided)
        for outcome in outcomes:
            self._write(outcome)
        return Verdict(outcomes, [ledger.terms[sku] for sku in skus])

    def _write(self, outcome: Outcome) -> None:
        order, ledger = outcome.order, self._ledger
        if OrderId(order.id) in ledger.orders:
            return
        ledger.orders[OrderId(order.id)] = outcome
        ledger.events[order.id] = event_topic(outcome.status, order.sku)
        if outcome.status is Status.CONFIRMED:
            sale = ledger.terms[order.sku]
            ledger.terms[order.sku] = replace(sale, sold=sale.sold + order.quantity)

    async def fail(
        self, order_id: OrderId, reason: str, now: float, customer_id: str | None = None
    ) -> None:
        nothing_else = Order(order_id, "", "", 0, 0.0)
        self._ledger.orders.setdefault(order_id, Outcome(nothing_else, Status.FAILED, reason))
