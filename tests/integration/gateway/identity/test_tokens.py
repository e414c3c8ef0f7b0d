"""Bearer tokens: who orders, and which tokens do not count."""

import json
import time
from typing import Any

import pytest
from joserfc.jwk import OctKey, RSAKey

from gateway.identity.tokens import LONGEST_TOKEN
from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway, open_gateway, raw
from tests.integration.gateway.identity.signing import (
    SECRET,
    a_pass,
    bearer,
    claims,
    login_service,
    signed,
    token,
)


async def order(gateway: EmbeddedGateway, *tokens: str, **body: Any) -> Answer:
    headers = [("Authorization", f"Bearer {each}") for each in tokens]
    return await gateway.call("POST", "/orders", json={"sku": "tv"} | body, headers=headers)


def require_refused(answer: Answer, fault: str = "invalid_token") -> None:
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith(f'Bearer error="{fault}", ')
    assert answer.problem == "invalid-token"


async def test_the_token_says_who_orders(guarded: EmbeddedGateway) -> None:
    answer = await order(guarded, token())
    assert answer.status == 202
    guarded.drain()
    path = answer.headers["Location"]
    status = await guarded.call("GET", path, headers=bearer(token()) | {"Prefer": "wait=10"})
    assert status.body["status"] == "confirmed"
    [bought] = (await guarded.stack.ledger.outcomes("tv")).values()
    assert bought.order.customer_id == "alice"


async def test_the_body_may_repeat_the_customer_in_any_spelling(guarded: EmbeddedGateway) -> None:
    decomposed = "jose\u0301 "
    answer = await order(guarded, token(sub="jos\u00e9"), customer_id=decomposed)
    assert answer.status == 202
    assert (await order(guarded, token(sub=decomposed), customer_id="jos\u00e9")).status == 202


async def test_the_body_can_not_name_another_customer(guarded: EmbeddedGateway) -> None:
    answer = await order(guarded, token(), customer_id="bob")
    assert (answer.status, answer.problem) == (403, "other-customer")
    assert (await order(guarded, token(sub="Alice"), customer_id="alice")).status == 403
    assert await guarded.backlog() == 0


async def test_letter_case_counts_as_the_setting_says(sqlite_url: str) -> None:
    async with open_gateway(
        sqlite_url, auth="jwt", jwt_secret=SECRET, customer_id_casefold=True
    ) as gateway:
        assert (await order(gateway, token(sub="ALICE"), customer_id="alice")).status == 202


async def test_without_a_token_an_order_is_refused(guarded: EmbeddedGateway) -> None:
    for headers in ({}, {"Authorization": "Basic YWxpY2U6eA=="}, {"Authorization": "x"}):
        answer = await guarded.call("POST", "/orders", json={"sku": "tv"}, headers=headers)
        assert (answer.status, answer.problem) == (401, "token-required")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="flashsale"'


async def test_sales_are_for_everybody(guarded: EmbeddedGateway) -> None:
    for headers in ({}, bearer("forged")):
        assert (await guarded.call("GET", "/sales/tv", headers=headers)).status == 200


async def test_the_same_key_is_one_order_whether_the_body_names_the_customer_or_not(
    guarded: EmbeddedGateway,
) -> None:
    headers = bearer(token()) | {"Idempotency-Key": "k"}
    bodies = ({"sku": "tv"}, {"sku": "tv", "customer_id": "alice"})
    ids = [
        (await guarded.call("POST", "/orders", json=body, headers=headers)).body["order_id"]
        for body in bodies
    ]
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    "body",
    [
        '{"sku":"tv","sku":"gone"}',
        '{"sku":"tv","quantity":1,"quantity":2}',
        '{"sku":"tv","customer_id":"bob","customer_id":"alice"}',
        '{"sku":"tv","customer_id":"bob","customer_\\u0069d":"alice"}',
    ],
)
async def test_a_field_that_stands_twice_is_refused(guarded: EmbeddedGateway, body: str) -> None:
    headers = bearer(token()) | {"Content-Type": "application/json"}
    answer = await guarded.call("POST", "/orders", data=body, headers=headers)
    assert (answer.status, answer.problem) == (400, "bad-json")


async def test_a_wrong_body_is_named_field_by_field(guarded: EmbeddedGateway) -> None:
    answer = await order(guarded, token(), sku="", customer_id=None, more=1)
    assert (answer.status, answer.problem) == (422, "invalid-order")
    assert [error["field"] for error in answer.body["errors"]] == ["sku", "customer_id", "more"]
    long_id = "x" * 129
    answer = await order(guarded, token(), customer_id=long_id)
    assert [error["field"] for error in answer.body["errors"]] == ["customer_id"]


OTHER_SECRET = OctKey.import_key("another secret, which is long enough")


def bad_tokens() -> dict[str, str]:
    """The tokens that do not count, made when a test begins."""
    now = time.time()
    return {
        "forged": signed(claims(), OTHER_SECRET),
        "changed": token()[:-40] + "A" * 40,
        "without a signature": ".".join(token().split(".")[:2]) + ".",
        "expired": token(exp=now - 60),
        "without an expiry": token(exp=None),
        "not valid yet": token(nbf=now + 3600),
        "without a customer": token(sub=None),
        "with an empty customer": token(sub=" \u200b"),
        "with a customer that is a number": token(sub=5),
        "with a customer of control characters": token(sub="a\nb"),
        "with half of a character": token(sub="a\ud800"),
        "with a long customer": token(sub="x" * 129),
        "for somebody else": token(aud="https://other.example"),
        "that is a pass": a_pass(sub="alice"),
        "by no algorithm": signed(claims(), algorithm="none"),
        "by another algorithm": signed(claims(), algorithm="HS512"),
        "by an algorithm that is no text": signed(claims(), header={"alg": 5}),
        "with a critical header": signed(claims(), header={"crit": ["exp"], "exp": 1}),
        "with b64": signed(claims(), header={"crit": ["b64"], "b64": False}),
        "with an empty crit": signed(claims(), header={"crit": None}),
        "with claims that are a list": signed([]),
        "with an expiry that is a text": token(exp="tomorrow"),
        "with an expiry out of range": token(exp=10**400),
        "nested deeply": "W1tb" * 1900 + ".e30.AA",
        "that is no token": "abc",
        "of five parts": "a.b.c.d.e",
        "with spaces": token() + " x",
        "in base64 with padding": token() + "=",
        "that is empty": "",
    }


@pytest.mark.parametrize("name", bad_tokens())
async def test_a_bad_token_is_refused(guarded: EmbeddedGateway, name: str) -> None:
    bad = bad_tokens()[name]
    answer = await order(guarded, bad)
    if bad:
        require_refused(answer)
    assert answer.status == 401
    assert await guarded.backlog() == 0
    # Those who poll are asked for the same.
    assert (await guarded.call("GET", f"/orders/{'a' * 32}", headers=bearer(bad))).status == 401


async def test_clocks_may_be_a_little_apart(guarded: EmbeddedGateway) -> None:
    assert (await order(guarded, token(exp=time.time() - 5))).status == 202
    assert (await order(guarded, token(nbf=time.time() + 5))).status == 202


async def test_a_token_of_almost_8_kb_counts_and_a_longer_one_does_not(
    guarded: EmbeddedGateway,
) -> None:
    spare = LONGEST_TOKEN - len(token(more="")) - 4
    long_token = token(more="x" * (spare * 3 // 4))
    assert LONGEST_TOKEN - 100 < len(long_token) <= LONGEST_TOKEN
    assert (await order(guarded, long_token)).status == 202
    require_refused(await order(guarded, token(more="x" * (spare * 3 // 4 + 60))))
    whole = await order(guarded, token(more="x" * 8192))
    assert (whole.status, whole.problem) == (431, "headers-too-large")


async def test_two_authorization_headers_are_refused(guarded: EmbeddedGateway) -> None:
    require_refused(await order(guarded, token(), token()), "invalid_request")
    require_refused(await order(guarded, token(), token(sub="bob")), "invalid_request")


async def test_bytes_that_are_no_text_are_refused(guarded: EmbeddedGateway) -> None:
    head = b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n"
    head += b"Content-Type: application/json\r\nConnection: close\r\n"
    for value in (b"Bearer \xff\xfe", b"Bearer a.\xc3\xa9.c", b"Bearer\t" + token().encode()):
        answer = await raw(guarded, head + b"Authorization: " + value + b'\r\n\r\n{"sku":"tv"}')
        assert answer.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 400 ")), value


async def test_a_public_key_is_no_secret(sqlite_url: str) -> None:
    """HS256 with the text of an RSA key as the secret: a verifier must not be talked into it."""
    key = RSAKey.generate_key(2048, {"kid": "k"})
    async with (
        login_service(key) as login,
        open_gateway(sqlite_url, auth="jwt", jwks_url=login.url) as gateway,
    ):
        published = json.dumps(key.as_dict(private=False)).encode()
        for text in (key.as_pem(private=False), key.as_der(private=False), published):
            for header in ({}, {"kid": "k"}):
                require_refused(await order(gateway, signed(claims(), text, header=header)))
        assert (await order(gateway, login.token())).status == 202


async def test_issuer_and_audience_count_if_they_are_set(sqlite_url: str) -> None:
    async with open_gateway(
        sqlite_url, auth="jwt", jwt_secret=SECRET, jwt_issuer="https://shop", jwt_audience="sale"
    ) as gateway:
        for right in ("sale", ["other", "sale"]):
            assert (await order(gateway, token(iss="https://shop", aud=right))).status == 202
        for wrong in (
            {"iss": "https://shop"},
            {"aud": "sale"},
            {"iss": "https://shop/", "aud": "sale"},
            {"iss": "https://shop", "aud": "sal"},
            {"iss": "https://shop", "aud": ["other"]},
            {"iss": "https://shop", "aud": []},
            {"iss": "https://shop", "aud": [["sale"]]},
            {"iss": ["https://shop"], "aud": "sale"},
        ):
            require_refused(await order(gateway, token(**wrong)))


async def test_without_the_setting_a_token_is_not_looked_at(gateway: EmbeddedGateway) -> None:
    body = {"sku": "tv", "customer_id": "bob"}
    for headers in ({}, bearer("forged"), {"Purchase-Pass": "forged"}):
        assert (await gateway.call("POST", "/orders", json=body, headers=headers)).status == 202
    assert (await gateway.call("POST", "/orders", json={"sku": "tv"})).status == 422
