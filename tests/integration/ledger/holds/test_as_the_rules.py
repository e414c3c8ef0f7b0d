"""A ledger is at each moment what the rules make of a sale in dictionaries, for any steps."""

import asyncio
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashsale.domain.holds.payments import Payment
from flashsale.domain.holds.rule import Allowance, MoreChanges
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale
from flashsale.ledger import Cancellation, Ledger, Sink
from tests.conftest import draining, unique
from tests.held_sale import HOLD, LIMIT, HeldSale, steps


def number_of(sku: str, number: int) -> str:
    """An order id that no other example uses."""
    return f"{abs(hash(sku)) % 16**20:020x}{number:012x}"


async def drained(sink: Sink, batch: list[Order], now: float, due: int) -> None:
    try:
        await sink.sell(batch, now, allowance=Allowance(due))
    except MoreChanges as error:
        await sink.sell(batch, now, allowance=Allowance(due, error.needed))


async def play(ledger: Ledger, played: list[Any], terms: Sale) -> None:
    """Do the same to both, and compare."""
    await ledger.create_sale(terms)
    model = HeldSale(terms)
    sku = terms.sku
    async with draining(ledger) as sink:
        for kind, *arguments in played:
            order_id = "" if kind in ("drain", "wait") else number_of(sku, arguments[0])
            match kind:
                case "drain":
                    batch = [
                        Order(number_of(sku, number), sku, customer, quantity, model.now)
                        for number, customer, quantity in arguments[0]
                    ]
                    await drained(sink, batch, model.now, arguments[1])
                    model.drain(batch, arguments[1])
                case "pay":
                    payment_id = f"{sku}-{arguments[1]}"
                    told = Payment(order_id, payment_id, arguments[2])
                    await ledger.take_payments([told], model.now)
                    model.pay(order_id, payment_id, arguments[2])
                case "cancel":
                    await ledger.cancel(Cancellation(order_id), model.now)
                    model.cancel(order_id)
                case "extend":
                    await ledger.extend(order_id, model.now)
                    model.extend(order_id)
                case "wait":
                    model.now += arguments[0]
        found = await ledger.outcomes(sku)
        assert found == model.orders
        kept = await ledger.find_sale(sku)
        # Only a batch that serves the line looks who is at its head now.
        assert replace(kept, line_head=model.sale.line_head) == model.sale
        assert kept.line_head <= model.sale.line_head
        assert (await ledger.audit()).wrong == ()
        # What is left open would be due in the next example, too.
        later = model.now
        while (sale := await ledger.find_sale(sku)).held or sale.waiting:
            later += 1_000
            await sink.sell([], later, allowance=Allowance(1_000))


async def test_a_ledger_does_what_the_rules_say(ledger: Ledger, database_url: str) -> None:
    loop = asyncio.get_running_loop()
    examples = 12 if database_url.startswith("sqlite") else 8
    found: list[tuple[list[Any], int, int]] = []

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None)
    @given(steps, st.integers(1, 6), st.integers(0, 4))
    def draw(played: list[Any], stock: int, waitlist: int) -> None:
        found.append((played, stock, waitlist))

    await loop.run_in_executor(None, draw)
    for played, stock, waitlist in found:
        terms = Sale(
            unique("tv"),
            stock,
            customer_limit=LIMIT,
            hold_seconds=HOLD,
            waitlist=waitlist,
            cancellable=True,
            extendable=True,
        )
        await play(ledger, played, terms)
