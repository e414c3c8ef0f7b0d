"""The machine of a sale with holds, on the product's own ledger: whatever ends a hold, and when."""

from collections.abc import Sequence
from itertools import product
from typing import Any, ClassVar

from flashsale.domain.holds.payments import Payment, PaymentOutcome
from flashsale.domain.orders import OrderRequest
from flashsale.domain.sales import Sale
from tests.model.holds.shop import HoldShop
from tests.model.machine import ARGUMENTS, CLOCK, GATEWAYS, UNWRITABLE, SqlSaleMachine, step

HELD = "gig"
PRICE = "10.00"
GRACE_SECONDS = 2.0
"""The grace while a machine plays, so that a hold ends in a few of its seconds."""

CUSTOMERS = "ann", "ben", "cid", "dan", "eve"
RESERVATIONS = [
    (at, OrderRequest(HELD, customer, quantity), key)
    for quantity, key, customer, at in product((1, 2), (None, "k1", "k2"), CUSTOMERS, GATEWAYS)
]
OUTCOMES: tuple[PaymentOutcome, ...] = ("succeeded", "failed")
ORDERS = range(8)
"""Which of the latest orders it is about."""

HOLD_ARGUMENTS: dict[str, Sequence[Any]] = {}


class HoldMachine(SqlSaleMachine):
    """A sale with holds, beside those without."""

    arguments: ClassVar = ARGUMENTS | HOLD_ARGUMENTS  # filled below
    shop: HoldShop

    def sales(self, offer: tuple[int, int | None]) -> Sequence[Sale]:
        stock, limit = offer
        held = Sale(
            HELD,
            stock,
            customer_limit=limit,
            price=PRICE,
            currency="EUR",
            hold_seconds=3,
            waitlist=4,
            cancellable=True,
            extendable=True,
        )
        return [held, *super().sales(offer)]

    def make_shop(self, sales: Sequence[Sale], seed: int) -> HoldShop:
        shop = HoldShop(self.books(sales), sales, [UNWRITABLE], CLOCK, seed)
        shop.expected.grace = GRACE_SECONDS
        return shop

    @step(RESERVATIONS, HOLD_ARGUMENTS)
    def reserve(self, of: tuple[int, OrderRequest, str | None]) -> None:
        self.shop.post(*of)

    @step([4, 7], HOLD_ARGUMENTS)
    def many_reserve(self, of: int) -> None:
        for number in range(of):
            self.shop.post(number % 2, OrderRequest(HELD, f"c-{number}", 1 + number % 2), None)

    @step(list(product(GATEWAYS, ORDERS, OUTCOMES, (1, 2))), HOLD_ARGUMENTS)
    def pay(self, of: tuple[int, int, PaymentOutcome, int]) -> None:
        at, back, outcome, number = of
        attempt = self.shop.order_of(back, HELD)
        if attempt is not None:
            payment_id = f"p-{number}-{attempt.order_id}"
            self.shop.pay(at, [self._payment(attempt.order_id, payment_id, outcome)])

    @step(list(product(GATEWAYS, ORDERS, ("5.00", "10.00", "20"))), HOLD_ARGUMENTS)
    def pay_an_amount(self, of: tuple[int, int, str]) -> None:
        at, back, amount = of
        attempt = self.shop.order_of(back, HELD)
        if attempt is not None:
            payment = Payment(attempt.order_id, f"a-{attempt.order_id}", "succeeded", amount)
            self.shop.pay(at, [payment])

    @step(GATEWAYS, HOLD_ARGUMENTS)
    def all_pay_at_once(self, of: int) -> None:
        attempts = [a for a in self.shop.attempts[-10:] if a.request.sku == HELD]
        told = [self._payment(a.order_id, f"p-1-{a.order_id}", "succeeded") for a in attempts]
        # A provider tells some of them twice, and not in their order.
        if told:
            self.shop.pay(of, [*told[::-1], *told[:2]])

    @step(list(product(GATEWAYS, ORDERS)), HOLD_ARGUMENTS)
    def tell_of_a_payment_again(self, of: tuple[int, int]) -> None:
        at, back = of
        if self.shop.told:
            self.shop.pay(at, [self.shop.told[-1 - back % len(self.shop.told)]])

    @step(list(product(GATEWAYS, ORDERS, ORDERS)), HOLD_ARGUMENTS)
    def tell_of_a_payment_for_another_order(self, of: tuple[int, int, int]) -> None:
        at, back, other = of
        attempt = self.shop.order_of(other, HELD)
        if self.shop.told and attempt is not None:
            before = self.shop.told[-1 - back % len(self.shop.told)]
            self.shop.pay(at, [self._payment(attempt.order_id, before.payment_id, "succeeded")])

    def _payment(self, order_id: str, payment_id: str, outcome: PaymentOutcome) -> Payment:
        webhook_id = f"w-{len(self.shop.told)}"
        return Payment(order_id, payment_id, outcome, webhook_id=webhook_id)

    @step(
        list(product(GATEWAYS, ORDERS, ("the customer", "an operator", "somebody else"))),
        HOLD_ARGUMENTS,
    )
    def cancel(self, of: tuple[int, int, str]) -> None:
        at, back, by = of
        attempt = self.shop.order_of(back, HELD)
        if attempt is not None:
            self.shop.cancel(at, attempt, by)

    @step(list(product(GATEWAYS, ORDERS)), HOLD_ARGUMENTS)
    def extend(self, of: tuple[int, int]) -> None:
        at, back = of
        # Few are held at a time, and most of the others are refused by the gateway's memory.
        attempt = self.shop.held_order(back) or self.shop.order_of(back, HELD)
        if attempt is not None:
            self.shop.extend(at, attempt)

    @step([3.1, 1.0, 5.2], HOLD_ARGUMENTS)
    def holds_run_out(self, of: float) -> None:
        self.shop.loop.forward(of)

    @step([4.0, -4.0, 20.0], HOLD_ARGUMENTS)
    def the_clock_is_set(self, of: float) -> None:
        CLOCK.stepped += of

    @step(["payment lost before commit", "payment lost after commit"], HOLD_ARGUMENTS)
    def a_payment_is_in_trouble_soon(self, of: Any) -> None:
        self.shop.prepare(of)


HoldMachine.arguments = ARGUMENTS | HOLD_ARGUMENTS
