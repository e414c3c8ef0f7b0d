"""What a verdict is told of the ledger: all of the sales that it is about, nothing of others."""

import math
from collections.abc import Sequence

import pytest

from flashsale.domain.order_ids import random_order_id
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale
from flashsale.ledger import Cancellation, Cancelled, Decided, Effects, Ledger, Tally, Unsent
from flashsale.messages.events import status_of_topic
from services.builtin.loyalty import Purchase, add_points, loyalty
from services.builtin.ranking import ranking
from tests.conftest import an_order, draining
from tests.database import event_ids, execute, rows

NOW = 1_000_000.0
TOTALS = {service.name: service.totals for service in (loyalty, ranking) if service.totals}


async def sold(ledger: Ledger, *orders: Order) -> None:
    for sku in sorted({order.sku for order in orders}):
        await ledger.create_sale(Sale(sku, 5))
    async with draining(ledger) as sink:
        await sink.sell(orders, NOW)


async def test_holdings_are_of_the_given_sales_only(ledger: Ledger, database_url: str) -> None:
    bought = an_order(customer_id="me", quantity=4)
    too_late = an_order(customer_id="you", quantity=2)
    other = an_order(sku="radio", customer_id="me", quantity=3)
    broken = random_order_id()
    await sold(ledger, bought, too_late, other)
    async with draining(ledger) as sink:
        await sink.fail(broken, "not an order", NOW)
    events = await event_ids(database_url)
    for order in (bought, other):
        wanted = Effects(events[order.id], order.id)
        await add_points(Purchase(order.customer_id, order.quantity), wanted)
        await ledger.effects.take_effect("loyalty", [wanted])
    mailed = [Effects("x", "astray"), Effects(events[too_late.id], too_late.id)]
    await ledger.effects.take_effect("mail", mailed)

    found = await ledger.holdings({"tv"}, TOTALS)

    assert set(found.orders) == {
        Decided(bought.id, "tv", "me", 4, "confirmed"),
        Decided(too_late.id, "tv", "you", 2, "rejected"),
        Decided(broken, "", "", 0, "failed"),
    }
    assert {name: set(ids) for name, ids in found.effects.items()} == {
        "loyalty": {bought.id},
        "mail": {"astray", too_late.id},
    }
    assert found.unsent == {bought.id, too_late.id, other.id}
    # Points are of all sales together, the ranking is of each.
    assert found.tallies == {
        "loyalty": Tally({("", "me"): 70}, {("", "me"): 7}),
        "ranking": Tally({}, {}),
    }
    assert found.broken == {
        rule: ()
        for rule in ("oversold", "over_limit", "books", "ended_once", "payments", "passed_over")
    }


async def test_the_tally_of_the_ranking_has_the_orders_it_has_done(
    ledger: Ledger, database_url: str
) -> None:
    orders = [an_order(customer_id="me"), an_order(customer_id="me")]
    await sold(ledger, *orders)
    done = Effects((await event_ids(database_url))[orders[0].id], orders[0].id)
    await ledger.effects.take_effect("ranking", [done])
    for sku in ("tv", "radio"):
        await execute(database_url, f"INSERT INTO ranking VALUES ('{sku}', 'me', 2, 0)")
    tally = (await ledger.holdings(["tv"], TOTALS)).tallies["ranking"]
    assert tally == Tally({("tv", "me"): 2}, {("tv", "me"): 1})


async def bought_and_cancelled(ledger: Ledger, database_url: str) -> dict[str, Effects]:
    """The effects of loyalty for both events of an order of four items, by their status."""
    order = an_order(customer_id="me", quantity=4)
    await ledger.create_sale(Sale("tv", 5, cancellable=True))
    async with draining(ledger) as sink:
        await sink.sell([order], NOW)
    assert isinstance(await ledger.cancel(Cancellation(order.id), NOW + 1), Cancelled)
    found = await rows(database_url, "SELECT event_id, topic FROM outbox")
    done = {status_of_topic(row.topic): Effects(row.event_id, order.id) for row in found}
    assert set(done) == {"confirmed", "cancelled"}
    return done


@pytest.mark.parametrize(
    ("statuses", "items"),
    [(["confirmed"], 4), (["cancelled"], -4), (["confirmed", "cancelled"], 0)],
)
async def test_the_tally_takes_back_what_was_cancelled(
    ledger: Ledger, database_url: str, statuses: list[str], items: int
) -> None:
    done = await bought_and_cancelled(ledger, database_url)
    await ledger.effects.take_effect("loyalty", [done[status] for status in statuses])
    found = await ledger.holdings(["tv"], TOTALS)
    assert found.tallies["loyalty"].done == {("", "me"): items}


@pytest.mark.parametrize("until", [NOW + 0.5, NOW + 2])
async def test_the_tally_takes_back_what_was_cancelled_after_events_were_pruned(
    ledger: Ledger, database_url: str, until: float
) -> None:
    done = await bought_and_cancelled(ledger, database_url)
    await ledger.outbox.relay(10, math.inf, send_all)
    await ledger.effects.take_effect("loyalty", list(done.values()))
    # This one hears nothing of what is cancelled.
    await ledger.effects.take_effect("ranking", [done["confirmed"]])
    assert await ledger.outbox.prune(until) == (1 if until < NOW + 1 else 2)
    found = await ledger.holdings(["tv"], TOTALS)
    assert found.tallies["loyalty"].done == {("", "me"): 0}
    assert found.tallies["ranking"].done == {("tv", "me"): 4}
    [order] = found.orders
    assert found.effects == {"loyalty": [order.id] * 2, "ranking": [order.id]}


async def test_a_service_without_its_table_has_an_empty_tally(
    ledger: Ledger, database_url: str
) -> None:
    order = an_order(customer_id="me")
    await sold(ledger, order)
    done = Effects((await event_ids(database_url))[order.id], order.id)
    await ledger.effects.take_effect("loyalty", [done])
    await execute(database_url, "DROP TABLE loyalty")
    tally = (await ledger.holdings(["tv"], TOTALS)).tallies["loyalty"]
    assert tally == Tally({}, {("", "me"): 1})


async def send_all(unsent: Sequence[Unsent]) -> list[str]:
    return [event.event_id for event, _ in unsent]


async def test_an_effect_counts_for_its_order_after_the_event_was_pruned(
    ledger: Ledger, database_url: str
) -> None:
    order = an_order(customer_id="me")
    await sold(ledger, order)
    done = Effects((await event_ids(database_url))[order.id], order.id)
    await ledger.effects.take_effect("loyalty", [done])
    await ledger.outbox.relay(10, math.inf, send_all)
    assert await ledger.outbox.prune(NOW + 1) == 1
    found = await ledger.holdings(["tv"], TOTALS)
    assert found.effects == {"loyalty": [order.id]}
    assert found.tallies["loyalty"].done == {("", "me"): 1}
    assert [journey.order_id for journey in await ledger.effects.journeys("tv")] == [order.id]


async def test_an_effect_of_an_earlier_version_counts_for_its_order(
    ledger: Ledger, database_url: str
) -> None:
    """Such a service knows no order ids, and such a relay sends events under the order's id."""
    by_event, by_order = an_order(customer_id="me"), an_order(customer_id="me")
    await sold(ledger, by_event, by_order)
    event_id = (await event_ids(database_url))[by_event.id]
    for written in (event_id, by_order.id):
        await execute(
            database_url,
            "INSERT INTO effects (event_id, service, done_at) VALUES (:id, 'loyalty', 1)",
            id=written,
        )
    found = await ledger.holdings(["tv"], TOTALS)
    assert set(found.effects["loyalty"]) == {by_event.id, by_order.id}
    assert found.tallies["loyalty"].done == {("", "me"): 2}
    journeys = await ledger.effects.journeys("tv")
    assert {journey.order_id for journey in journeys} == {by_event.id, by_order.id}


async def test_an_effect_of_another_event_does_not_count_for_the_order(
    ledger: Ledger, database_url: str
) -> None:
    order, other = an_order(), an_order()
    await sold(ledger, order, other)
    event_of_other = (await event_ids(database_url))[other.id]
    wrong = [Effects("made up", order.id), Effects(event_of_other, order.id)]
    await ledger.effects.take_effect("mail", wrong)
    found = await ledger.holdings(["tv"])
    assert set(found.effects["mail"]) == {"made up", event_of_other}
