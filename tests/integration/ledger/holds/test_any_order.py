"""A ledger does what the rules say, whatever comes at the same moment, in any order of arrival."""

import asyncio
from collections.abc import Sequence
from itertools import permutations
from typing import Any

from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.holds.payments import Payment
from flashsale.domain.holds.rule import Allowance
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale
from flashsale.ledger import Cancellation, DrainLease, Ledger
from tests.conftest import an_order

HOLD = 60
NOW = 1_800_000_000.0
OVER = NOW + HOLD + GRACE_SECONDS

MOMENT = ("pays", "is paid again", "ends", "is cancelled", "somebody new comes")
"""What happens to an order that is held, while one more order waits in line."""


class Moment:
    """One sale of one item, which is held, and an order that waits for it."""

    def __init__(self, ledger: Ledger, lease: DrainLease, sku: str) -> None:
        self.ledger = ledger
        self.sink = lease.open_sink()
        self.sku = sku
        self.held, self.waits, self.new = (an_order(sku=sku) for _ in range(3))

    async def begin(self) -> None:
        await self.ledger.create_sale(Sale(self.sku, 1, hold_seconds=HOLD, waitlist=1))
        await self.sink.sell([self.held, self.waits], NOW)

    async def happens(self, what: str) -> None:
        match what:
            case "pays":
                await self.pay(f"p-{self.held.id}")
            case "is paid again":
                await self.pay(f"q-{self.held.id}")
            case "ends":
                await self.sink.sell([], OVER, allowance=Allowance(10))
            case "is cancelled":
                await self.ledger.cancel(Cancellation(self.held.id), OVER)
            case "somebody new comes":
                await self.sink.sell([self.new], OVER)

    async def pay(self, payment_id: str) -> None:
        await self.ledger.take_payments([Payment(self.held.id, payment_id, "succeeded")], OVER)

    async def states(self) -> dict[str, Status]:
        found = await self.ledger.outcomes(self.sku)
        return {order_id: outcome.status for order_id, outcome in found.items()}

    async def check(self) -> None:
        """One payment has bought the item, or both are given back; the line is served in turn."""
        states = await self.states()
        [sale] = [sale for sale in await self.ledger.sales() if sale.sku == self.sku]
        assert sale.sold + sale.held <= 1
        bought = states[self.held.id] is Status.CONFIRMED
        assert sale.sold == bought
        in_line = states[self.waits.id]
        if bought:
            assert in_line is not Status.HELD
        else:
            assert in_line in (Status.HELD, Status.WAITLISTED)
        assert states.get(self.new.id) in (None, Status.REJECTED, Status.WAITLISTED)


async def test_each_order_of_arrival_leaves_the_books_right(ledger: Ledger) -> None:
    orders: Sequence[tuple[str, ...]] = list(permutations(MOMENT))
    async with ledger.hold_drain("sale") as lease:
        for number, steps in enumerate(orders[::5]):
            moment = Moment(ledger, lease, f"tv-{number}")
            await moment.begin()
            for what in steps:
                await moment.happens(what)
                await moment.check()
            # Whoever waits then is served, or can never be.
            await moment.happens("ends")
            await moment.check()
            assert (await moment.states())[moment.waits.id] is not Status.WAITLISTED
        assert (await ledger.audit()).wrong == ()


async def test_all_at_the_same_moment_leave_the_books_right(ledger: Ledger) -> None:
    async with ledger.hold_drain("sale") as lease:
        moments = [Moment(ledger, lease, f"tv-{number}") for number in range(12)]
        for moment in moments:
            await moment.begin()
        at_once: list[Any] = [
            moment.happens(what)
            for number, moment in enumerate(moments)
            for what in (*MOMENT[number % 5 :], *MOMENT[: number % 5])
        ]
        await asyncio.gather(*at_once)
        for moment in moments:
            await moment.check()
        assert (await ledger.audit()).wrong == ()


async def test_payments_of_many_sales_and_batches_do_not_wait_in_a_circle(ledger: Ledger) -> None:
    skus = [f"tv-{number}" for number in range(6)]
    orders: list[Order] = []
    async with ledger.hold_drain("sale") as lease:
        sink = lease.open_sink()
        for sku in skus:
            await ledger.create_sale(Sale(sku, 100, hold_seconds=HOLD))
            orders += [an_order(sku=sku) for _ in range(5)]
        await sink.sell(orders, NOW)
        payments = [Payment(order.id, f"p-{order.id}", "succeeded") for order in orders]

        async def pay(some: Sequence[Payment]) -> None:
            await ledger.take_payments(some, NOW + 1)

        async def sell() -> None:
            for _ in range(5):
                await sink.sell([an_order(sku=sku) for sku in reversed(skus)], NOW + 1)

        await asyncio.gather(
            sell(), *(pay(payments[n::4]) for n in range(4)), *(pay(payments[::-2]) for _ in "ab")
        )
    assert sum(sale.sold for sale in await ledger.sales()) == len(orders)
    assert (await ledger.audit()).wrong == ()
