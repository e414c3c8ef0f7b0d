"""Whatever happens on the way, one intention is at most one order, and the client knows which."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flashsale.client import Intention, OutcomeUnknown, Refused, SaleClient, Undecided, pauses
from flashsale.domain.sales import Sale
from tests.conftest import unique
from tests.integration.client.middleman import TRICKS, Middleman, middleman
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway


@dataclass
class Street:
    """A gateway with a drain, and two ways to it."""

    runner: asyncio.Runner
    gateway: EmbeddedGateway
    ways: list[Middleman]
    customers: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """One for all examples, of which each has a customer of its own."""
    path = tmp_path_factory.mktemp("street") / "ledger.db"
    patched = pytest.MonkeyPatch()
    patched.setattr(pauses, "_FIRST_SECONDS", 0.002)
    patched.setattr(pauses, "_LONGEST_SECONDS", 0.02)
    with asyncio.Runner() as runner:
        exits = AsyncExitStack()

        async def start() -> Street:
            url = f"sqlite+aiosqlite:///{path}"
            gateway = await exits.enter_async_context(open_gateway(url))
            await gateway.stack.ledger.create_sale(Sale("many", 1_000_000))
            gateway.drain()
            ways = [await exits.enter_async_context(middleman(gateway.url)) for _ in range(2)]
            return Street(runner, gateway, ways)

        opened = runner.run(start())
        try:
            yield opened
        finally:
            runner.run(exits.aclose())
            patched.undo()
    assert opened.customers
    assert orders_of_each(path) <= {1}


def orders_of_each(path: Path) -> set[int]:
    """How many orders the ledger has of each customer who has any."""
    with sqlite3.connect(path) as ledger:
        counts = ledger.execute("SELECT count(*) FROM orders GROUP BY customer_id").fetchall()
    ledger.close()
    return {count for (count,) in counts}


# A pause of a second each: others test that it is kept.
_SLOW = {"too often"}
_tricks = st.lists(st.sampled_from(sorted(TRICKS.keys() - _SLOW)), max_size=6)


@settings(max_examples=40)
@example(["lose the answer", "sold out"], ["lose the answer", "sold out"], 5.0)
@example(["lose the request", "sold out"], ["lose the request", "sold out"], 5.0)
@example(["answer never"], ["sold out, and an earlier attempt is unknown"], 5.0)
@example(["lose the answer", *["queue full"] * 400], ["queue full"] * 400, 0.2)
@given(_tricks, _tricks, st.sampled_from([0.05, 0.3, 5.0]))
def test_an_intention_is_at_most_one_order_and_the_client_knows_which(
    street: Street, first: list[str], second: list[str], patience: float
) -> None:
    street.runner.run(_play(street, [first, second], patience))


async def _play(street: Street, tricks: list[list[str]], patience: float) -> None:
    for way, its in zip(street.ways, tricks, strict=True):
        way.tricks, way.taken = list(its), []
    intention = Intention("many", unique("customer"))
    street.customers.append(str(intention.customer_id))
    addresses = [way.url for way in street.ways]
    async with SaleClient(addresses, attempt_seconds=0.4) as client:
        try:
            bought = await client.buy(intention, patience=patience)
            known = {bought.order_id}
            assert bought.confirmed
        except Refused:
            known = set()
        except Undecided as error:
            known = {error.order_id}
        except OutcomeUnknown:
            assert len(taken(street)) <= 1
            # Whoever asks once more under the key learns it.
            for way in street.ways:
                way.tricks = []
            known = {(await client.buy(intention)).order_id}
        assert taken(street) == known


def taken(street: Street) -> set[str]:
    """The ids of the orders that the gateway has taken in this example."""
    return {order_id for way in street.ways for order_id in way.taken}
