"""What a verdict is told of the ledger: all of the sales that it is about, nothing of others."""

from sqlalchemy import text

from flashsale.domain.order_ids import random_order_id
from flashsale.domain.sales import Sale
from flashsale.ledger import Effects, Ledger
from flashsale.ledger.holdings import Decided, Tally
from flashsale.ledger.sql.transactions import writing
from services.builtin.loyalty import Purchase, add_points
from tests.conftest import an_order

NOW = 1_000_000.0


async def test_holdings_are_those_of_the_sales_and_of_no_other(ledger: Ledger) -> None:
    for sku in ("tv", "radio"):
        await ledger.create_sale(Sale(sku, 5))
    bought = an_order(customer_id="me", quantity=4)
    too_late = an_order(customer_id="you", quantity=2)
    other = an_order(sku="radio", customer_id="me", quantity=3)
    broken = random_order_id()
    async with ledger.hold_drain("sale") as drain:
        await drain.sell([bought, too_late, other], NOW)
        await drain.fail(broken, "not an order", NOW)
    for order in (bought, other):
        wanted = Effects(order.id)
        await add_points(Purchase(order.customer_id, order.quantity), wanted)
        await ledger.effects.take_effect("loyalty", [wanted])
    await ledger.effects.take_effect("mail", [Effects("astray"), Effects(too_late.id)])

    found = await ledger.holdings({"tv"})

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
    assert found.broken == {"oversold": (), "over_limit": (), "books": ()}


async def test_the_ranking_is_held_against_the_orders_that_it_has_done(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5))
    orders = [an_order(customer_id="me"), an_order(customer_id="me")]
    async with ledger.hold_drain("sale") as drain:
        await drain.sell(orders, NOW)
    await ledger.effects.take_effect("ranking", [Effects(orders[0].id)])
    async with writing(ledger._engine) as connection:
        for sku in ("tv", "radio"):
            await connection.execute(text(f"INSERT INTO ranking VALUES ('{sku}', 'me', 2, 0)"))
    tally = (await ledger.holdings(["tv"])).tallies["ranking"]
    assert tally == Tally({("tv", "me"): 2}, {("tv", "me"): 1})
