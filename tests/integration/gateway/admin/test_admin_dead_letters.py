"""`/admin/dead`: what died is shown with its reason, and replayed or dropped by operators."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from flashsale.domain.orders import Order
from flashsale.ledger import LedgerUnavailable, open_ledger
from flashsale.messages.orders import encode_order
from tests.conftest import an_order, unique
from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway, open_gateway, until

TOKENS = {"admin_token": SecretStr("an operator"), "viewer_token": SecretStr("a viewer")}
OPERATOR = {"Authorization": "Bearer an operator"}
VIEWER = {"Authorization": "Bearer a viewer"}


@pytest.fixture(params=["embedded", "rabbitmq"])
async def shop(request: pytest.FixtureRequest, sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    """A gateway with operators, on each broker."""
    broker = {}
    if request.param == "rabbitmq":
        broker = {
            "broker_url": request.getfixturevalue("rabbit_url"),
            "broker_prefix": f"{unique('dead')}.",
        }
        async with open_ledger(sqlite_url) as ledger:
            await ledger.migrate()
    async with open_gateway(sqlite_url, **TOKENS, **broker, queue_max_length=3) as gateway:
        yield gateway


@pytest.fixture
async def embedded(sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    async with open_gateway(sqlite_url, **TOKENS, queue_max_length=3) as gateway:
        yield gateway


async def bury(gateway: EmbeddedGateway, *orders: Order, reason: str = "disk on fire") -> None:
    for order in orders:
        await gateway.stack.broker.publish(
            gateway.stack.topology.orders,
            "dead",
            encode_order(order),
            message_id=order.id,
            headers={"reason": reason, "died_at": 1_800_000_000},
        )


async def dead(gateway: EmbeddedGateway, query: str = "") -> Answer:
    return await gateway.call("GET", f"/admin/dead{query}", headers=VIEWER)


async def ids(gateway: EmbeddedGateway) -> list[str]:
    return [letter["id"] for letter in (await dead(gateway)).body["letters"]]


async def settle(gateway: EmbeddedGateway, how: str, key: str | None = None, **wish: Any) -> Answer:
    headers = OPERATOR | ({} if key is None else {"Idempotency-Key": key})
    wish = {"queue": "orders"} | wish
    return await gateway.call("POST", f"/admin/dead/{how}", json=wish, headers=headers)


async def audited(gateway: EmbeddedGateway) -> list[dict[str, Any]]:
    answer = await gateway.call("GET", "/admin/audit", headers=VIEWER)
    # The sales of the fixture were created, too.
    return [entry for entry in answer.body["entries"] if entry["action"].startswith("dead.")]


async def test_dead_letters_are_shown_with_reason_and_body(shop: EmbeddedGateway) -> None:
    assert (await dead(shop)).body["letters"] == []
    order = an_order(customer_id="me")
    await bury(shop, order)
    await shop.stack.broker.publish(
        shop.stack.topology.orders, "dead", b"no order", message_id="x", headers={}
    )
    seen = (await dead(shop)).body
    assert {queue["queue"]: queue["count"] for queue in seen["queues"]} == {
        "orders": 2,
        "loyalty": 0,
        "mail": 0,
        "ranking": 0,
        "webhook": 0,
    }
    first, second = seen["letters"]
    assert '"customer_id": "me"' in first.pop("body")
    assert first == {
        "id": order.id,
        "queue": "orders",
        "order_id": order.id,
        "tries": 1,
        "died_at": "2027-01-15T08:00:00Z",
        "reason": "disk on fire",
    }
    assert (second["id"], second["order_id"], second["died_at"]) == ("x", None, None)
    assert second["body"] == "b'no order'"
    # They are still there, and a page has no more than what is asked for.
    page = (await dead(shop, "?queue=orders&limit=1")).body
    assert [letter["id"] for letter in page["letters"]] == [order.id]
    assert page["queues"] == [{"queue": "orders", "count": 2}]


async def test_a_letter_of_a_service_goes_back_to_its_queue(shop: EmbeddedGateway) -> None:
    assert (await dead(shop, "?queue=mail")).body["queues"] == [{"queue": "mail", "count": 0}]
    [mail] = shop.context.dead_letters.queues("mail")
    await shop.stack.broker.publish("", mail.queue, b"{}", message_id="e", headers={"attempts": 3})
    [letter] = (await dead(shop, "?queue=mail")).body["letters"]
    assert (letter["queue"], letter["tries"], letter["body"]) == ("mail", 3, "{}")
    # Its service has never run here, so that nothing would take the copy: the letter stays.
    lost = await settle(shop, "replay", queue="mail", all=True)
    assert (lost.status, lost.problem) == (503, "broker-unreachable")
    assert lost.body["count"] == 0
    dropped = await settle(shop, "drop", queue="mail", ids=["e"], reason="gone")
    assert dropped.body == {"queue": "mail", "count": 1, "ids": ["e"]}
    assert [entry["target"] for entry in await audited(shop)] == ["mail"]


async def test_a_replayed_order_is_decided_and_the_audit_says_who_did_it(
    shop: EmbeddedGateway,
) -> None:
    lucky, other = an_order(), an_order()
    await bury(shop, lucky, other)
    shop.drain()
    replayed = await settle(shop, "replay", ids=[lucky.id], reason="the disk is back")
    assert replayed.body == {"queue": "orders", "count": 1, "ids": [lucky.id]}
    path = f"/orders/{lucky.id}"
    await until(
        lambda: shop.call("GET", path),
        lambda a: a.status == 200 and a.body["status"] == "confirmed",
    )
    assert await ids(shop) == [other.id]
    [entry] = await audited(shop)
    assert (entry["who"], entry["action"], entry["target"], entry["reason"]) == (
        "operator",
        "dead.replay",
        "orders",
        "the disk is back",
    )
    assert (entry["before"], entry["after"]) == (None, {"count": 1, "ids": [lucky.id]})
    assert entry["request_id"]


async def test_the_audit_names_a_hundred_letters_and_counts_all(embedded: EmbeddedGateway) -> None:
    await bury(embedded, *(an_order() for _ in range(120)))
    dropped = await settle(embedded, "drop", all=True)
    assert (dropped.body["count"], len(dropped.body["ids"])) == (120, 100)
    [entry] = await audited(embedded)
    assert entry["action"] == "dead.drop"
    assert entry["after"] == {"count": 120, "ids": dropped.body["ids"]}
    assert await ids(embedded) == []


async def test_a_repeated_request_with_a_key_does_nothing_again(embedded: EmbeddedGateway) -> None:
    first, second = an_order(), an_order()
    await bury(embedded, first)
    done = await settle(embedded, "drop", key="k", all=True)
    await bury(embedded, second)
    again = await settle(embedded, "drop", key="k", all=True)
    assert again.body == done.body
    assert await ids(embedded) == [second.id]
    for other in (await settle(embedded, "replay", key="k", all=True),):
        assert (other.status, other.problem) == (422, "key-reused")
    assert len(await audited(embedded)) == 1


async def test_a_full_queue_stops_a_replay_which_goes_on_later(embedded: EmbeddedGateway) -> None:
    orders = [an_order() for _ in range(5)]
    await bury(embedded, *orders)
    stopped = await settle(embedded, "replay", key="k", all=True)
    assert (stopped.status, stopped.problem) == (503, "queue-full")
    assert (stopped.body["count"], len(stopped.body["ids"])) == (3, 3)
    assert "Retry-After" in stopped.headers
    assert await ids(embedded) == [order.id for order in orders[3:]]
    embedded.drain()
    async with asyncio.timeout(60):
        while await embedded.backlog():
            await asyncio.sleep(0.02)
    assert (await settle(embedded, "replay", key="k", all=True)).body["count"] == 2
    assert [entry["after"]["count"] for entry in await audited(embedded)] == [2, 3]


async def test_ids_that_are_not_there_change_nothing(embedded: EmbeddedGateway) -> None:
    await bury(embedded, an_order())
    assert (await settle(embedded, "drop", ids=["another"])).body["count"] == 0
    assert len(await ids(embedded)) == 1
    assert await audited(embedded) == []


@pytest.mark.parametrize(
    ("wish", "problem", "field"),
    [
        ({}, "invalid-change", "ids"),
        ({"ids": []}, "invalid-change", "ids"),
        ({"ids": ["x"], "all": True}, "invalid-change", "ids"),
        ({"ids": "x"}, "invalid-change", "ids"),
        ({"ids": [1]}, "invalid-change", "ids[0]"),
        ({"all": "yes"}, "invalid-change", "all"),
        ({"all": True, "queue": None}, "invalid-change", "queue"),
        ({"all": True, "every": True}, "invalid-change", ""),
        ({"all": True, "reason": "a\x00b"}, "invalid-change", "reason"),
        ({"all": True, "reason": "a" * 501}, "invalid-change", "reason"),
        ({"all": True, "queue": "nonsense"}, "unknown-queue", None),
    ],
)
async def test_a_wrong_request_replays_nothing(
    embedded: EmbeddedGateway, wish: dict[str, Any], problem: str, field: str | None
) -> None:
    await bury(embedded, an_order())
    for how in ("replay", "drop"):
        answer = await settle(embedded, how, **wish)
        assert answer.problem == problem
        if field is not None:
            assert [error["field"] for error in answer.body["errors"]] == [field]
    assert len(await ids(embedded)) == 1


async def test_a_wrong_query_is_told(embedded: EmbeddedGateway) -> None:
    assert (await dead(embedded, "?queue=nonsense")).problem == "unknown-queue"
    for limit in ("0", "501", "x"):
        assert (await dead(embedded, f"?limit={limit}")).problem == "bad-request"


async def test_only_operators_replay_and_only_from_their_own_pages(
    embedded: EmbeddedGateway,
) -> None:
    await bury(embedded, an_order())
    wish = {"queue": "orders", "all": True}
    for how in ("replay", "drop"):
        for headers, problem in (
            (VIEWER, "forbidden"),
            ({}, "unauthorized"),
            (OPERATOR | {"Sec-Fetch-Site": "cross-site"}, "cross-site"),
        ):
            answer = await embedded.call("POST", f"/admin/dead/{how}", json=wish, headers=headers)
            assert answer.problem == problem
    assert len(await ids(embedded)) == 1


async def test_two_who_look_at_once_both_see_all_letters(shop: EmbeddedGateway) -> None:
    orders = [an_order() for _ in range(10)]
    await bury(shop, *orders)
    expected = [order.id for order in orders]
    first, second = await asyncio.gather(ids(shop), ids(shop))
    assert first == second == expected


async def test_nothing_is_dropped_while_the_database_is_away(
    embedded: EmbeddedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bury(embedded, an_order(), an_order())
    audit_log = type(embedded.context.audit_log)

    async def away(*_: object, **__: object) -> None:
        raise LedgerUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(audit_log, "entries", away)
        assert (await settle(embedded, "drop", all=True)).problem == "ledger-unavailable"
    assert len(await ids(embedded)) == 2
    # If it goes away in between, the answer tells what was done.
    with monkeypatch.context() as patched:
        patched.setattr(audit_log, "write", away)
        answer = await settle(embedded, "drop", all=True)
    assert (answer.problem, answer.body["count"]) == ("ledger-unavailable", 2)
    assert await ids(embedded) == []
