"""The system under test with holds: customers cancel and extend, payment providers tell."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVarTuple, cast

from flashsale.domain.holds.payments import Payment
from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale, Verdict
from flashsale.ledger import LedgerError
from flashsale.ledger.hold_port import Cancellation, Cancelled
from flashsale.messages.announcements import orders_moved
from gateway.holds.order_changes import OrderChanges
from gateway.holds.payment_intake import PaymentIntake
from gateway.state.orders import KnownOrder
from tests.model.holds.expected import ExpectedHolds
from tests.model.holds.ledger import FaultyHoldLedger, HoldLedger
from tests.model.shop import RATE, Attempt, Books, Gateway, Shop, gateway_metrics

Ts = TypeVarTuple("Ts")

_LONGEST_HOLDS_SECONDS = 120.0
_ANNOUNCED_SECONDS = 0.5  # more than announcements wait for each other


@dataclass
class HoldGateway(Gateway):
    """A gateway that takes payments, cancellations and extensions, too."""

    payments: PaymentIntake = field(kw_only=True)
    changes: OrderChanges = field(kw_only=True)
    work: list[asyncio.Task[None]] = field(default_factory=list)
    """What it does for payment providers and customers, but for what has ended just now."""


class HoldShop(Shop):
    """A shop of which some sales have holds."""

    expected: ExpectedHolds
    ledger: FaultyHoldLedger
    gateways: list[HoldGateway]  # type: ignore[assignment]  # it makes no others

    def _begin(self, books: Books, sales: Sequence[Sale]) -> None:
        self.expected = ExpectedHolds(sales, RATE)
        ledger = cast(HoldLedger, books.ledger)
        self.ledger = FaultyHoldLedger(ledger, self.expected, self.clock.monotonic)
        self.told: list[Payment] = []
        """What providers have told, or tried to."""
        self.interrupted = False
        """Whether something may have changed that no gateway ever announced."""

    def _gateway(self) -> HoldGateway:
        gateway = super()._gateway()
        orders, clock = gateway.orders, gateway.drain.clock.now

        def announce(changed: Verdict) -> None:
            gateway.announcements.announce_moved(orders_moved(changed))

        payments = PaymentIntake(self.ledger, clock, announce, gateway_metrics)
        gateway.tasks.append(self.loop.create_task(payments.run()))
        changes = OrderChanges(self.ledger, orders, gateway.sales, clock, announce)
        return HoldGateway(**vars(gateway), payments=payments, changes=changes)

    # What payment providers and customers do.

    def pay(self, gateway: int, payments: Sequence[Payment]) -> None:
        """Tell of some payments, which come together."""
        self.told += payments
        for payment in payments:
            self._start(gateway, self.gateways[gateway].payments.take, payment)

    def cancel(self, gateway: int, attempt: Attempt, by: str) -> None:
        """Cancel an order, as its customer, as somebody else, or as an operator.

        A gateway may know of a queued order nothing but its id and its contents.
        """
        order_id, request = attempt.order_id, attempt.request
        at = self.gateways[gateway]
        known = at.orders.get(OrderId(order_id))
        if by in ("the customer", "somebody else") and known is not None:
            owner = request.customer_id if by == "the customer" else "zed"
            self._start(gateway, at.changes.cancel, known, owner)
            return
        queued = Order(order_id, request.sku, "", request.quantity, self.clock.time())
        taken = queued if attempt.answer == "taken" else None
        wanted = Cancellation(order_id, taken, by_operator=True)
        self._start(gateway, self._cancel, at, wanted)

    async def _cancel(self, at: HoldGateway, wanted: Cancellation) -> None:
        result = await self.ledger.cancel(wanted, self.clock.time())
        if isinstance(result, Cancelled):
            at.announcements.announce_moved(orders_moved(result.verdict))

    def extend(self, gateway: int, attempt: Attempt) -> None:
        """Extend a hold."""
        at = self.gateways[gateway]
        known = at.orders.get(OrderId(attempt.order_id))
        if known is not None:
            self._start(gateway, at.changes.extend, known, None)

    def _start(self, gateway: int, work: Callable[[*Ts], Awaitable[object]], *of: *Ts) -> None:
        async def do() -> None:
            try:
                await work(*of)
            except LedgerError:
                self.interrupted = True  # until somebody asks for it again

        self.gateways[gateway].work.append(self.loop.create_task(do()))

    def restart_gateway(self, number: int) -> None:
        gateway = self.gateways[number]
        self.interrupted = True
        self._end(gateway.work)
        super().restart_gateway(number)

    # What must be so.

    def check(self) -> None:
        super().check()
        for gateway in self.gateways:
            for task in [task for task in gateway.work if task.done()]:
                gateway.work.remove(task)
                task.result()

    def settle(self) -> None:
        """Let all holds end, too: then nothing is held, and nobody waits."""
        self.broker.fault = self.ledger.fault = None
        if not self.drains:
            self.crash_drain()
            self.start_drain()
        assert self.loop.until(self._settled, _LONGEST_HOLDS_SECONDS), "it never drains"
        ended = self.loop.until(self._ended, _LONGEST_HOLDS_SECONDS)
        self.check()
        assert ended, "a hold never ends"
        # A gateway that missed the end of a hold looks after the end that it was told.
        if any(gateway.orders.open.all() for gateway in self.gateways):
            self.loop.forward(6.0)
        else:
            # A payment that came last may have changed an order whose hold was over.
            self.loop.forward(_ANNOUNCED_SECONDS)
        super().settle()

    def _settled(self) -> bool:
        working = any(not task.done() for gateway in self.gateways for task in gateway.work)
        return super()._settled() and not working

    def _ended(self) -> bool:
        expected = self.expected
        return not any(state in ("held", "waitlisted") for state, _ in expected.states.values())

    def _check_known(self, known: KnownOrder, status: str) -> None:
        # A gateway that is told of a late payment or a cancelled purchase never, knows until it
        # forgets the order what was so before.
        missed = self.broker.announcement_lost or self.interrupted or self._drain_died
        past = self.expected.past[known.order_id]
        assert known.status == status or (missed and known.status in past)

    def _check_unsold(self, refused: Attempt, sent_at: float) -> None:
        if self.expected.states.get(refused.order_id, ("", None))[0] == "confirmed":
            bought_at = self.expected.confirmed_at.get(refused.order_id, math.inf)
            if self.expected.past[refused.order_id][0] != "confirmed":
                return  # it was held before, and the request may be older than the payment
            self.expected.confirmed_at.setdefault(refused.order_id, bought_at)
        super()._check_unsold(refused, sent_at)

    def order_of(self, back: int, sku: str) -> Attempt | None:
        """One of the latest orders of a sale."""
        found = [attempt for attempt in self.attempts[-40:] if attempt.request.sku == sku]
        return found[-1 - back % len(found)] if found else None

    def held_order(self, back: int) -> Attempt | None:
        """One of the latest orders that are held."""
        states = self.expected.states
        held = [a for a in self.attempts[-40:] if states.get(a.order_id, ("",))[0] == "held"]
        return held[-1 - back % len(held)] if held else None

    def close(self) -> None:
        self._end([task for gateway in self.gateways for task in gateway.work])
        super().close()
