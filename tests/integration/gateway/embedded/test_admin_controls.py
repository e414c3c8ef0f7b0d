"""`/admin/drain` and `/admin/intake`: who may change what, and what comes of it."""

import base64
from typing import Any

import pytest
from pydantic import SecretStr

from flashsale.messages.announcements import BatchDecided, encode_announcement
from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway, open_gateway, until

TOKENS = {"admin_token": SecretStr("an operator"), "viewer_token": SecretStr("a viewer")}
OPERATOR = {"Authorization": "Bearer an operator"}
VIEWER = {"Authorization": "Bearer a viewer"}
BASIC = {"Authorization": f"Basic {base64.b64encode(b'ann:an operator').decode()}"}


async def change(gateway: EmbeddedGateway, what: str, seen: str = "*", **changes: Any) -> Answer:
    headers = OPERATOR | {"If-Match": seen}
    return await gateway.call("PATCH", f"/admin/{what}", json=changes, headers=headers)


async def drain(gateway: EmbeddedGateway) -> Answer:
    return await gateway.call("GET", "/admin/drain", headers=VIEWER)


async def test_without_tokens_there_is_no_such_address(gateway: EmbeddedGateway) -> None:
    for path in ("/admin/drain", "/admin/intake", "/admin/audit"):
        assert (await gateway.call("GET", path, headers=OPERATOR)).problem == "not-found"


@pytest.mark.parametrize("authorization", ["", "Bearer another", "Basic YWRtaW46", "Digest x"])
async def test_a_wrong_token_is_401(sqlite_url: str, authorization: str) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        headers = {"Authorization": authorization, "If-Match": "*"}
        answer = await gateway.call("PATCH", "/admin/drain", json={}, headers=headers)
        assert (answer.status, answer.problem) == (401, "unauthorized")
        assert "WWW-Authenticate" in answer.headers


async def test_a_viewer_may_look_and_change_nothing(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        assert (await drain(gateway)).status == 200
        for path in ("/admin/drain", "/admin/intake"):
            answer = await gateway.call(
                "PATCH", path, json={"paused": True}, headers=VIEWER | {"If-Match": "*"}
            )
            assert (answer.status, answer.problem) == (403, "forbidden")
        assert (await drain(gateway)).body["version"] == 0


async def test_the_controls_show_what_is_set_and_what_it_makes(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        answer = await drain(gateway)
        assert answer.headers["ETag"] == '"0"'
        assert answer.body["effective_rate"] == gateway.settings.drain_rate
        assert (answer.body["paused"], answer.body["rate"]) == (False, None)
        changed = await change(gateway, "drain", rate=500, for_seconds=600, reason="slow disk")
        assert (changed.status, changed.headers["ETag"]) == (200, '"1"')
        seen = (await drain(gateway)).body
        assert seen == changed.body | {"for_seconds": seen["for_seconds"]}
        assert (seen["rate"], seen["effective_rate"], seen["reason"]) == (500, 500, "slow disk")
        assert 590 < seen["for_seconds"] <= 600
        back = await change(gateway, "drain", rate=None)
        assert back.body["effective_rate"] == gateway.settings.drain_rate
        assert back.body["rate_until"] is None


async def test_of_two_operators_at_once_one_is_told_to_look_again(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        assert (await change(gateway, "drain", seen='"0"', rate=100)).status == 200
        late = await change(gateway, "drain", seen='"0"', rate=900)
        assert (late.status, late.problem) == (412, "precondition-failed")
        weak = await change(gateway, "drain", seen='W/"1"', rate=900)
        assert weak.status == 412
        for no_tag in ("0", '"0', "W/0", '"0", 1', '*, "0"', ""):
            unclear = await change(gateway, "drain", seen=no_tag, rate=900)
            assert (unclear.status, unclear.problem) == (400, "bad-request"), no_tag
        blind = await gateway.call("PATCH", "/admin/drain", json={"rate": 900}, headers=OPERATOR)
        assert (blind.status, blind.problem) == (428, "precondition-required")
        assert (await drain(gateway)).body["rate"] == 100


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rate": 0}, "rate"),
        ({"rate": -1}, "rate"),
        ({"rate": 1.5}, "rate"),
        ({"rate": 10**9}, "rate"),
        ({"rate": "100"}, "rate"),
        ({"rate": True}, "rate"),
        ({"rate": 9}, "rate"),
        ({"paused": None}, "paused"),
        ({"paused": "yes"}, "paused"),
        ({"paused": True, "for_seconds": 0}, "for_seconds"),
        ({"paused": True, "for_seconds": -5}, "for_seconds"),
        ({"paused": True, "for_seconds": 1e300}, "for_seconds"),
        ({"paused": False, "for_seconds": 5}, "for_seconds"),
        ({"paused": True, "for_seconds": 5, "until": "2100-01-01T00:00:00Z"}, "for_seconds"),
        ({"paused": True, "until": "2020-01-01T00:00:00Z"}, "until"),
        ({"paused": True, "until": "tomorrow"}, "until"),
        ({"rate": 100, "reason": "a\x00b"}, "reason"),
        ({"rate": 100, "reason": "a" * 501}, "reason"),
        ({"reason": "none"}, ""),
        ({}, ""),
        ({"batch": 5000}, ""),
    ],
)
async def test_a_wrong_change_of_the_drain_changes_nothing(
    sqlite_url: str, changes: dict[str, Any], field: str
) -> None:
    async with open_gateway(sqlite_url, **TOKENS, drain_batch=10) as gateway:
        answer = await change(gateway, "drain", **changes)
        assert (answer.status, answer.problem) == (422, "invalid-change")
        assert [error["field"] for error in answer.body["errors"]] == [field]
        assert (await drain(gateway)).body["version"] == 0


@pytest.mark.parametrize(
    ("sent", "status", "problem"),
    [
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "bad-json"),
        ({"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported-media-type"),
        ({"json": []}, 422, "invalid-change"),
    ],
)
async def test_a_change_that_is_no_json_object_is_told_so(
    sqlite_url: str, sent: dict[str, Any], status: int, problem: str
) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        headers = OPERATOR | {"If-Match": "*"} | sent.pop("headers", {})
        answer = await gateway.call("PATCH", "/admin/drain", headers=headers, **sent)
        assert (answer.status, answer.problem) == (status, problem)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({}, 200),
    ],
)
async def test_a_page_of_another_site_can_change_nothing(
    sqlite_url: str, headers: dict[str, str], status: int
) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        answer = await gateway.call(
            "PATCH",
            "/admin/intake",
            json={"paused": True},
            headers=BASIC | {"If-Match": "*"} | headers,
        )
        assert answer.status == status


async def test_a_paused_intake_tells_shoppers_why_and_when_to_come_back(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        before = await gateway.order(key="before")
        notice = "Back at {noon}: 5 % {detail}"
        paused = await change(gateway, "intake", paused=True, notice=notice, reason="a fault")
        assert (paused.body["paused"], paused.body["notice"]) == (True, notice)
        refused = await gateway.order()
        assert (refused.status, refused.problem) == (503, "intake-paused")
        assert refused.body["detail"] == notice
        assert int(refused.headers["Retry-After"]) >= 5
        # The retry of an order that was taken learns that.
        again = await gateway.order(key="before")
        assert (again.status, again.body["order_id"]) == (202, before.body["order_id"])
        sale = (await gateway.call("GET", "/sales/tv")).body
        assert (sale["intake_paused"], sale["notice"]) == (True, notice)
        await change(gateway, "intake", paused=False)
        assert (await gateway.order()).status == 202
        assert (await gateway.call("GET", "/admin/intake", headers=VIEWER)).body["notice"] is None


async def test_a_notice_without_a_pause_is_refused(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        answer = await change(gateway, "intake", notice="hello")
        assert (answer.status, answer.problem) == (422, "invalid-change")


async def test_every_change_is_in_the_audit_once(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        await change(gateway, "drain", rate=500, reason="slow disk")
        await change(gateway, "drain", rate=0)
        await change(gateway, "drain", seen='"7"', rate=100)
        await change(gateway, "intake", paused=True, reason="fire")
        audit = await gateway.call("GET", "/admin/audit?limit=1", headers=VIEWER)
        [last] = audit.body["entries"]
        assert (last["who"], last["action"], last["reason"]) == (
            "operator",
            "intake.change",
            "fire",
        )
        assert (last["before"]["intake_paused"], last["after"]["intake_paused"]) == (False, True)
        page = f"/admin/audit?cursor={audit.body['next']}"
        rest = (await gateway.call("GET", page, headers=VIEWER)).body
        made = [e["action"] for e in rest["entries"] if e["action"] != "sale.create"]
        assert made == ["drain.change"]
        assert rest["entries"][0]["after"]["rate"] == 500
        assert rest["entries"][0]["request_id"]
        assert rest["next"] is None
        for query in ("limit=0", "limit=501", "limit=x", "cursor=-1", "cursor=x"):
            answer = await gateway.call("GET", f"/admin/audit?{query}", headers=VIEWER)
            assert answer.problem == "bad-request"


async def test_a_paused_drain_decides_nothing_and_shoppers_are_told(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        gateway.drain()
        first = await gateway.order()
        order = f"/orders/{first.body['order_id']}"
        await until(lambda: gateway.call("GET", order), lambda a: a.body["status"] == "confirmed")
        await change(gateway, "drain", paused=True)
        second = await gateway.order()
        assert second.body["paused"] is True
        assert second.body["eta_seconds"] is None
        order = f"/orders/{second.body['order_id']}"
        await until(lambda: drain(gateway), lambda a: a.body["backlog"] == 1)
        assert (await gateway.call("GET", order)).body["status"] == "queued"
        assert (await drain(gateway)).body["effective_rate"] == 0
        await change(gateway, "drain", paused=False)
        await until(lambda: gateway.call("GET", order), lambda a: a.body["status"] == "confirmed")


async def test_a_pause_ends_by_itself_and_the_audit_says_so(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        gateway.drain()
        await change(gateway, "drain", paused=True, for_seconds=0.2, reason="a moment")
        answer = await gateway.order()
        order = f"/orders/{answer.body['order_id']}"
        await until(lambda: gateway.call("GET", order), lambda a: a.body["status"] == "confirmed")
        entries = (await gateway.call("GET", "/admin/audit", headers=VIEWER)).body["entries"]
        assert [(e["who"], e["action"]) for e in entries[:2]] == [
            ("automatic", "drain.end"),
            ("operator", "drain.change"),
        ]
        assert (await drain(gateway)).body["version"] == 2
        assert entries[1]["after"]["paused_until"] is not None


async def test_an_adaptive_rate_is_told_with_its_cap_and_its_reason(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        await until(lambda: gateway.call("GET", "/readyz"), lambda seen: seen.status == 200)
        slow = BatchDecided([], [], 580.0, 600, None, False, 2000, "slow")
        stack = gateway.stack
        await stack.broker.publish(
            stack.topology.outcomes, "", encode_announcement(slow), message_id="", mandatory=False
        )
        told = await until(lambda: drain(gateway), lambda seen: seen.body["effective_rate"] == 600)
        body = told.body
        assert (body["rate"], body["rate_cap"], body["rate_reason"]) == (None, 2000, "slow")
        changed = (await change(gateway, "drain", rate=1000)).body
        assert (changed["effective_rate"], changed["rate_cap"]) == (600, 1000)
