"""What mail, loyalty and the ranking make of orders that are held, paid and cancelled."""

import email
import math
import re
import time
from collections.abc import Sequence
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from flashsale.domain.holds.payments import Payment
from flashsale.domain.sales import Sale
from flashsale.ledger import Cancellation, Unsent
from services.builtin.loyalty import loyalty
from services.builtin.mail.service import mail
from services.builtin.ranking import TOP_BUYERS, ranking
from tests.conftest import an_order, draining
from tests.database import rows
from tests.integration.services.bench import Bench

TOTALS = {service.name: service.totals for service in (loyalty, ranking) if service.totals}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of mails of a shop in Berlin with a payment page."""
    monkeypatch.setenv("FLASHSALE_MAIL_FOLDER", str(tmp_path))
    monkeypatch.setenv("FLASHSALE_MAIL_TIMEZONE", "Europe/Berlin")
    monkeypatch.setenv("FLASHSALE_PAY_URL", "https://shop.example/checkout?order={order_id}")
    return tmp_path


async def hold(bench: Bench, *customers: str, since: float = 0.0) -> list[str]:
    """Hold an item for each customer, and return the ids of the orders."""
    orders = [an_order(customer_id=customer) for customer in customers]
    async with draining(bench.stack.ledger) as sink:
        await sink.sell(orders, time.time() - since)
    return [order.id for order in orders]


async def relayed(bench: Bench) -> None:
    """Send all events, the latest first, and wait until every service has done its own."""
    ids: list[str] = []

    async def send(events: Sequence[Unsent]) -> list[str]:
        await bench.publish(*[event for event, _ in reversed(events)])
        ids.extend(event.event_id for event, _ in events)
        return ids

    await bench.stack.ledger.outbox.relay(100, math.inf, send)

    async def done() -> bool:
        return set(await bench.stack.ledger.effects.done("mail", ids)) == set(ids)

    await bench.until(done)
    for service in (loyalty, ranking):
        await bench.empty(service)


def letters(folder: Path, order_id: str = "") -> list[Any]:
    """The mails about an order, or all, by their subjects."""
    found = [path.read_bytes() for path in folder.glob("*.eml")]
    mine = [one for one in found if order_id.encode() in one]
    read = [email.message_from_bytes(one, policy=default) for one in mine]
    return sorted(read, key=lambda letter: str(letter["Subject"]))


def subjects(folder: Path, order_id: str) -> list[str]:
    return [str(letter["Subject"]) for letter in letters(folder, order_id)]


async def test_what_is_cancelled_after_it_was_paid_is_taken_back_in_any_order_of_events(
    bench: Bench, folder: Path
) -> None:
    ledger = bench.stack.ledger
    await ledger.create_sale(Sale("tv", 5, hold_seconds=600, cancellable=True))
    async with bench.running(mail, loyalty, ranking):
        kept, returned, dropped, open_ = await hold(bench, "ann", "ben", "cid", "dan")
        payments = [Payment(each, f"p-{each}", "succeeded") for each in (kept, returned)]
        await ledger.take_payments(payments, time.time())
        for each in (returned, dropped):
            await ledger.cancel(Cancellation(each), time.time())
        await relayed(bench)
    points = await rows(bench.settings.database_url, "SELECT customer_id, points FROM loyalty")
    assert {row.customer_id: row.points for row in points} == {"ann": 10, "ben": 0}
    top = await rows(bench.settings.database_url, TOP_BUYERS, sku="tv", at_most=10)
    assert [(row.customer_id, row.bought) for row in top] == [("ann", 1)]
    tallies = (await ledger.holdings(["tv"], TOTALS)).tallies
    assert tallies["loyalty"].done == {("", "ann"): 1, ("", "ben"): 0}
    assert subjects(folder, kept) == [
        "Held for you: please pay in time",
        "Your order is paid and confirmed",
    ]
    assert subjects(folder, returned) == [
        "Held for you: please pay in time",
        "You get your payment back",
        "Your order is cancelled",
        "Your order is paid and confirmed",
    ]
    assert subjects(folder, dropped) == [
        "Held for you: please pay in time",
        "Your order is cancelled",
    ]
    [held] = letters(folder, open_)
    text = held.get_body(("plain",)).get_content()
    assert f"Pay now: https://shop.example/checkout?order={open_}" in text
    assert re.search(r"yours until \d\d:\d\d CES?T on", text)


async def test_nobody_is_asked_to_pay_for_a_hold_that_is_over(bench: Bench, folder: Path) -> None:
    await bench.stack.ledger.create_sale(Sale("tv", 5, hold_seconds=600))
    async with bench.running(mail, loyalty, ranking):
        await hold(bench, "ann", since=600)
        await relayed(bench)
    assert letters(folder) == []
