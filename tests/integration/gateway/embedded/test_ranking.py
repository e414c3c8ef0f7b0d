"""`GET /sales/{sku}/ranking`."""

import asyncio
import time

import pytest

from flashsale.domain.order_ids import random_order_id
from flashsale.ledger import Buyer, Effects, RankingQuery
from flashsale.ledger.sql.ledger import SqlLedger
from flashsale.messages.events import OrderEvent
from services.builtin.ranking import add_items
from tests.integration.gateway.embedded_gateway import (
    EmbeddedGateway,
    until,
)


async def buy(gateway: EmbeddedGateway, *bought: tuple[str, int, float]) -> None:
    """Have customers in the ranking of tv: how much, and since when."""
    wanted = []
    for customer, items, moment in bought:
        event = OrderEvent(random_order_id(), "confirmed", None, "tv", customer, items, 0, moment)
        effects = Effects(event.event_id, event.order_id)
        await add_items(event, effects)
        wanted.append(effects)
    assert await gateway.stack.ledger.effects.take_effect("ranking", wanted) == len(wanted)


async def test_the_ranking_is_by_items_and_then_by_time(gateway: EmbeddedGateway) -> None:
    empty = await gateway.call("GET", "/sales/tv/ranking")
    assert (empty.status, empty.body) == (200, {"sku": "tv", "ranking": []})
    await buy(gateway, ("late", 3, 9.0), ("early", 2, 5.0), ("early", 1, 1.0), ("little", 1, 1.0))
    full = await until(
        lambda: gateway.call("GET", "/sales/tv/ranking"),
        lambda answer: bool(answer.body["ranking"]),
    )
    assert full.body["ranking"] == [
        {"rank": 1, "customer_id": "early", "items": 3},
        {"rank": 2, "customer_id": "late", "items": 3},
        {"rank": 3, "customer_id": "little", "items": 1},
    ]
    short = await gateway.call("GET", "/sales/tv/ranking?limit=1")
    assert [buyer["customer_id"] for buyer in short.body["ranking"]] == ["early"]
    other = await gateway.call("GET", "/sales/gone/ranking")
    assert other.body == {"sku": "gone", "ranking": []}


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1e2", "", "1" * 5000])
async def test_the_limit_of_the_ranking_is_a_number_from_1_to_100(
    gateway: EmbeddedGateway, limit: str
) -> None:
    answer = await gateway.call("GET", "/sales/tv/ranking", params={"limit": limit})
    assert (answer.status, answer.body["type"]) == (400, "/problems/bad-request")


async def test_the_ranking_of_an_unknown_sale_is_404(gateway: EmbeddedGateway) -> None:
    answer = await gateway.call("GET", "/sales/radio/ranking")
    assert (answer.status, answer.body["type"]) == (404, "/problems/unknown-sku")


async def test_the_ranking_is_read_from_the_database_once_a_second_at_most(
    gateway: EmbeddedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    top_buyers = SqlLedger.top_buyers

    async def count(self: SqlLedger, query: RankingQuery, sku: str, at_most: int) -> list[Buyer]:
        nonlocal asked
        asked += 1
        return await top_buyers(self, query, sku, at_most)

    monkeypatch.setattr(SqlLedger, "top_buyers", count)
    started = time.monotonic()
    for _ in range(10):
        answers = (gateway.call("GET", "/sales/tv/ranking") for _ in range(20))
        assert {answer.status for answer in await asyncio.gather(*answers)} == {200}
    assert asked <= 1 + (time.monotonic() - started)
