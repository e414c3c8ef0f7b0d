"""`/admin/webhooks`: manage endpoints, by whoever may, and see each secret once."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flashsale.domain.moments import moment_at, parse_moment
from flashsale.domain.sales import Sale
from flashsale.domain.webhooks.deliveries import Attempt, AttemptResult
from flashsale.ledger import Room
from flashsale.messages.standard_webhooks import parse_secret
from tests.conftest import an_order, draining
from tests.integration.gateway.admin.operators import (
    OPERATOR,
    TOKENS,
    VIEWER,
    delete,
    get,
    patch,
    post,
)
from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway, open_gateway

URL = "https://shop.example/hooks"
NOBODY = "0" * 32


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[EmbeddedGateway]:
    """A gateway with tokens, on each kind of database."""
    async with open_gateway(database_url, **TOKENS) as opened:
        yield opened


async def create(gateway: EmbeddedGateway, key: str | None = None, **changes: Any) -> Answer:
    answer = await post(gateway, "webhooks", key, **{"url": URL} | changes)
    assert answer.status == 201, answer.body
    return answer


async def created_id(gateway: EmbeddedGateway) -> str:
    return str((await create(gateway)).body["id"])


async def audited(gateway: EmbeddedGateway) -> list[Any]:
    entries = (await get(gateway, "audit?limit=500")).body["entries"]
    return [entry for entry in entries if entry["action"].startswith("webhook.")]


async def attempt_all(gateway: EmbeddedGateway, result: AttemptResult) -> None:
    """Be the service: claim what is due, and record that it came to this."""
    queue = gateway.stack.ledger.webhook_queue
    now = time.time() + 1
    claims = await queue.claim(now, 30, Room({}, each=100, total=100))
    ok = result is AttemptResult.DELIVERED
    attempts = [
        Attempt(claimed, result, now, 12, 204 if ok else 500, None if ok else "500", now + 60)
        for claimed in claims.deliveries
    ]
    await queue.record(attempts, now)


async def decide(gateway: EmbeddedGateway, orders: int) -> None:
    """Have orders confirmed, and their events in the outbox."""
    await gateway.stack.ledger.create_sale(Sale("much", 1_000))
    async with draining(gateway.stack.ledger) as sink:
        await sink.sell([an_order(sku="much") for _ in range(orders)], time.time())


async def test_a_created_endpoint_is_shown_with_its_secret_once(gateway: EmbeddedGateway) -> None:
    created = await create(gateway, description="the shop", event_types=["order.confirmed"])
    endpoint_id, secret = created.body["id"], created.body["secret"]
    assert created.headers["ETag"] == '"1"'
    assert created.headers["Location"] == f"/admin/webhooks/{endpoint_id}"
    assert created.headers["Cache-Control"] == "no-store"
    assert len(parse_secret(secret)) >= 24
    shown = (await get(gateway, f"webhooks/{endpoint_id}")).body
    assert shown == {k: v for k, v in created.body.items() if k != "secret"} | {
        "pending": 0,
        "dead": 0,
        "oldest_pending_at": None,
    }
    assert {k: shown[k] for k in ("url", "event_types", "description", "enabled", "failures")} == {
        "url": URL,
        "event_types": ["order.confirmed"],
        "description": "the shop",
        "enabled": True,
        "failures": 0,
    }
    assert (await get(gateway, "webhooks")).body["webhooks"] == [shown]


async def test_no_other_answer_and_no_entry_has_a_secret(gateway: EmbeddedGateway) -> None:
    created = await create(gateway)
    at = f"webhooks/{created.body['id']}"
    rotated = await post(gateway, f"{at}/rotate")
    secrets = {created.body["secret"], rotated.body["secret"]}
    assert len(secrets) == 2
    answers = [
        await patch(gateway, at, description="x"),
        await post(gateway, f"{at}/disable"),
        await post(gateway, f"{at}/enable"),
        await post(gateway, f"{at}/test"),
        await post(gateway, f"{at}/replay", since="2026-01-01T00:00:00Z"),
        *[await get(gateway, path) for path in ("webhooks", at, f"{at}/attempts")],
        await get(gateway, f"{at}/deliveries"),
        await delete(gateway, at),
        await get(gateway, "audit?limit=500"),
    ]
    assert [answer.status for answer in answers] == [200, 200, 200, 202, *[200] * 5, 204, 200]
    for answer in answers:
        assert "whsec_" not in json.dumps(answer.body)
    assert [entry["action"] for entry in await audited(gateway)][::-1] == [
        f"webhook.{action}"
        for action in (
            *("create", "rotate", "change", "disable", "enable", "test", "replay", "delete"),
        )
    ]


async def test_a_retried_creation_makes_one_endpoint_and_shows_no_secret_again(
    gateway: EmbeddedGateway,
) -> None:
    first, again = await create(gateway, "k"), await create(gateway, "k")
    assert again.body == first.body | {"secret": None}
    assert len((await get(gateway, "webhooks")).body["webhooks"]) == 1
    other = await post(gateway, "webhooks", "k", url=f"{URL}/2")
    assert (other.status, other.problem) == (422, "key-reused")


async def test_one_creation_in_parallel_makes_one_endpoint(gateway: EmbeddedGateway) -> None:
    made = await asyncio.gather(*(create(gateway, "k") for _ in range(5)))
    assert len({answer.body["id"] for answer in made}) == 1
    assert sum(answer.body["secret"] is not None for answer in made) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "http://shop.example/"}, "url"),
        ({"url": "ftp://shop.example/"}, "url"),
        ({"url": "https://user:password@shop.example/"}, "url"),
        ({"url": "https://shop.example/#there"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://localhost:9000/"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "url"),
        ({"url": "https://10.1.2.3/"}, "url"),
        ({"url": "https://2130706433/"}, "url"),
        ({"url": "https:///path"}, "url"),
        ({"url": "https://shop.example:99999/"}, "url"),
        ({"url": "shop.example"}, "url"),
        ({"url": "https://shop.example/" + "x" * 2_000}, "url"),
        ({"url": "https://shop.example/\n"}, "url"),
        ({"url": None}, "url"),
        ({"url": 5}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["order.eaten"]}, "event_types"),
        ({"event_types": ["*"] * 21}, "event_types"),
        ({"event_types": "order.confirmed"}, "event_types"),
        ({"event_types": None}, "event_types"),
        ({"description": "x" * 501}, "description"),
        ({"description": "\x07"}, "description"),
        ({"reason": "x" * 501}, "reason"),
        ({"secret": "whsec_mine"}, ""),
    ],
)
async def test_wrong_terms_are_refused_by_the_name_of_their_field(
    gateway: EmbeddedGateway, changes: dict[str, Any], field: str
) -> None:
    answer = await post(gateway, "webhooks", **{"url": URL} | changes)
    assert (answer.status, answer.problem) == (422, "invalid-change")
    assert answer.body["errors"][0]["field"] == field
    assert (await get(gateway, "webhooks")).body["webhooks"] == []
    at = f"webhooks/{await created_id(gateway)}"
    changed = await patch(gateway, at, **changes)
    assert (changed.status, changed.problem) == (422, "invalid-change")
    assert (await get(gateway, at)).headers["ETag"] == '"1"'


async def test_private_addresses_are_taken_where_the_setting_allows_them(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASHSALE_WEBHOOK_ALLOW_PRIVATE", "true")
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        for url in ("http://127.0.0.1:8000/", "https://10.1.2.3/", "http://receiver:8000/x"):
            assert (await create(gateway, url=url)).body["url"] == url


async def test_a_patch_changes_what_it_names_and_keeps_the_rest(gateway: EmbeddedGateway) -> None:
    created = await create(gateway, description="the shop", event_types=["order.*"])
    at = f"webhooks/{created.body['id']}"
    moved = await patch(gateway, at, '"1"', url="https://other.example/", reason="moved")
    assert (moved.status, moved.headers["ETag"]) == (200, '"2"')
    assert moved.body["event_types"] == ["order.*"]
    assert moved.body["description"] == "the shop"
    bare = await patch(gateway, at, '"2"', description=None, event_types=["*"])
    assert (bare.body["url"], bare.body["description"]) == ("https://other.example/", None)
    assert (await patch(gateway, at, '"1"', url=URL)).problem == "precondition-failed"
    assert (await patch(gateway, at)).problem == "invalid-change"
    [_, entry, _] = await audited(gateway)
    assert (entry["who"], entry["reason"], entry["target"]) == (
        "operator",
        "moved",
        created.body["id"],
    )
    assert (entry["before"]["url"], entry["after"]["url"]) == (URL, "https://other.example/")


async def test_a_change_must_say_which_version_it_changes(gateway: EmbeddedGateway) -> None:
    at = f"/admin/webhooks/{await created_id(gateway)}"
    for method in ("PATCH", "DELETE"):
        answer = await gateway.call(method, at, json={"description": "x"}, headers=OPERATOR)
        assert answer.problem == "precondition-required"


async def test_a_disabled_endpoint_says_why_until_it_is_enabled(gateway: EmbeddedGateway) -> None:
    at = f"webhooks/{await created_id(gateway)}"
    disabled = await post(gateway, f"{at}/disable", "k", reason="they asked")
    assert (disabled.body["enabled"], disabled.body["disabled_reason"]) == (False, "they asked")
    assert (await post(gateway, f"{at}/disable", "k", reason="they asked")).body == disabled.body
    for action, body in (("test", {}), ("replay", {"since": "2026-01-01T00:00:00Z"})):
        refused = await post(gateway, f"{at}/{action}", **body)
        assert (refused.status, refused.problem) == (422, "invalid-change")
    enabled = await post(gateway, f"{at}/enable")
    assert (enabled.body["enabled"], enabled.body["disabled_reason"]) == (True, None)
    assert enabled.headers["ETag"] == '"3"'
    stale = await gateway.call(
        "POST", f"/admin/{at}/disable", headers=OPERATOR | {"If-Match": '"1"'}
    )
    assert stale.problem == "precondition-failed"


async def test_a_rotated_secret_overlaps_for_as_long_as_asked(gateway: EmbeddedGateway) -> None:
    created = await create(gateway)
    at = f"webhooks/{created.body['id']}"
    rotated = await post(gateway, f"{at}/rotate", "r1", overlap_seconds=60)
    left = parse_moment(rotated.body["previous_secret_until"]).timestamp() - time.time()
    assert 0 < left < 90
    assert rotated.body["secret"] not in (None, created.body["secret"])
    retried = await post(gateway, f"{at}/rotate", "r1", overlap_seconds=60)
    assert retried.body == rotated.body | {"secret": None}
    at_once = await post(gateway, f"{at}/rotate", overlap_seconds=0)
    assert at_once.body["previous_secret_until"] is None
    for wrong in (-1, 1e9, "1h"):
        refused = await post(gateway, f"{at}/rotate", overlap_seconds=wrong)
        assert refused.body["errors"][0]["field"] == "overlap_seconds"


async def test_a_test_event_waits_and_is_then_in_the_log(gateway: EmbeddedGateway) -> None:
    at = f"webhooks/{await created_id(gateway)}"
    sent = await post(gateway, f"{at}/test", "t")
    assert sent.status == 202
    assert (await post(gateway, f"{at}/test", "t")).body == sent.body
    [waiting] = (await get(gateway, f"{at}/deliveries")).body["deliveries"]
    assert (waiting["webhook_id"], waiting["type"]) == (sent.body["webhook_id"], "webhook.test")
    assert (await get(gateway, at)).body["pending"] == 1
    await attempt_all(gateway, AttemptResult.DELIVERED)
    [attempt] = (await get(gateway, f"{at}/attempts")).body["attempts"]
    assert attempt["webhook_id"] == sent.body["webhook_id"]
    assert (attempt["attempt"], attempt["result"], attempt["status"]) == (1, "delivered", 204)
    assert (await get(gateway, at)).body["pending"] == 0


async def test_attempts_and_deliveries_come_in_pages(gateway: EmbeddedGateway) -> None:
    at = f"webhooks/{await created_id(gateway)}"
    await decide(gateway, 5)
    await post(gateway, f"{at}/replay", since="2026-01-01T00:00:00Z")
    await attempt_all(gateway, AttemptResult.FAILED)
    for name in ("attempts", "deliveries"):
        seen: list[Any] = []
        path = f"{at}/{name}?limit=2"
        while True:
            page = (await get(gateway, path)).body
            seen.append(page[name])
            if page["next"] is None:
                break
            path = f"{at}/{name}?limit=2&cursor={page['next']}"
        assert [len(items) for items in seen] == [2, 2, 1]
        ids = [item["id"] for items in seen for item in items]
        assert ids == sorted(set(ids), reverse=name == "attempts")
        for wrong in ("limit=0", "limit=501", "limit=x", "cursor=x"):
            assert (await get(gateway, f"{at}/{name}?{wrong}")).problem == "bad-request"
    shown = (await get(gateway, at)).body
    assert (shown["pending"], shown["dead"], shown["failures"]) == (5, 0, 1)  # at the same time
    assert shown["failing_since"] is not None
    assert shown["oldest_pending_at"] is not None


async def test_a_replay_makes_the_deliveries_of_a_range_again(gateway: EmbeddedGateway) -> None:
    before = time.time()
    await decide(gateway, 3)
    created = await create(gateway)
    at = f"webhooks/{created.body['id']}"
    since = moment_at(before - 1).isoformat()
    nothing = await post(gateway, f"{at}/replay", since=since, until=moment_at(before).isoformat())
    assert nothing.body == {"deliveries": 0, "without_event": 0, "next": None}
    done = await post(gateway, f"{at}/replay", "r", since=since)
    assert done.body == {"deliveries": 3, "without_event": 0, "next": None}
    assert (await post(gateway, f"{at}/replay", "r", since=since)).body == done.body
    again = await post(gateway, f"{at}/replay", since=since)
    assert again.body["deliveries"] == 0  # they are pending
    assert (await get(gateway, at)).body["pending"] == 3


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({}, ""),
        ({"since": "yesterday"}, "since"),
        ({"since": 5}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z"}, "until"),
    ],
)
async def test_a_replay_of_no_range_is_refused(
    gateway: EmbeddedGateway, wish: dict[str, Any], field: str
) -> None:
    answer = await post(gateway, f"webhooks/{await created_id(gateway)}/replay", **wish)
    assert (answer.status, answer.problem) == (422, "invalid-change")
    assert answer.body["errors"][0]["field"] == field


async def test_an_endpoint_that_is_not_there_is_a_404(gateway: EmbeddedGateway) -> None:
    for endpoint_id in (NOBODY, "x", "%00", "0" * 33):
        at = f"webhooks/{endpoint_id}"
        answers = [
            await get(gateway, at),
            await get(gateway, f"{at}/deliveries"),
            await patch(gateway, at, description="x"),
            await delete(gateway, at),
            await post(gateway, f"{at}/replay", since="2026-01-01T00:00:00Z"),
            *[await post(gateway, f"{at}/{a}") for a in ("enable", "disable", "rotate", "test")],
        ]
        assert {(a.status, a.problem) for a in answers} == {(404, "unknown-endpoint")}, endpoint_id


async def test_a_deleted_endpoint_is_gone_and_its_attempts_are_still_shown(
    gateway: EmbeddedGateway,
) -> None:
    at = f"webhooks/{await created_id(gateway)}"
    await post(gateway, f"{at}/test")
    await attempt_all(gateway, AttemptResult.DELIVERED)
    assert (await delete(gateway, at, '"7"')).problem == "precondition-failed"
    assert (await delete(gateway, at, '"1"')).status == 204
    assert (await get(gateway, at)).problem == "unknown-endpoint"
    assert len((await get(gateway, f"{at}/attempts")).body["attempts"]) == 1


async def test_a_viewer_looks_and_changes_nothing(gateway: EmbeddedGateway) -> None:
    endpoint_id = await created_id(gateway)
    at = f"/admin/webhooks/{endpoint_id}"
    for path in ("/admin/webhooks", at, f"{at}/attempts", f"{at}/deliveries"):
        assert (await gateway.call("GET", path, headers=VIEWER)).status == 200
        assert (await gateway.call("GET", path)).problem == "unauthorized"
    changes = [("POST", "/admin/webhooks"), ("PATCH", at), ("DELETE", at)] + [
        ("POST", f"{at}/{action}") for action in ("enable", "disable", "rotate", "test", "replay")
    ]
    for method, path in changes:
        headers = VIEWER | {"If-Match": "*"}
        assert (await gateway.call(method, path, headers=headers)).problem == "forbidden"
        elsewhere = OPERATOR | {"If-Match": "*", "Sec-Fetch-Site": "cross-site"}
        assert (await gateway.call(method, path, headers=elsewhere)).problem == "cross-site"
    assert (await get(gateway, f"webhooks/{endpoint_id}")).headers["ETag"] == '"1"'


async def test_without_a_token_there_is_no_such_address(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url) as gateway:
        assert (await gateway.call("GET", "/admin/webhooks")).problem == "not-found"
