"""Keys of a login service: fetched, rotated in mid-sale, taken out, and away."""

import asyncio
import json
import time
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from gateway.identity import key_set, keys
from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway, open_gateway
from tests.integration.gateway.identity.signing import (
    SECRET,
    LoginService,
    a_key,
    bearer,
    claims,
    login_service,
    signed,
    token,
)


async def order(gateway: EmbeddedGateway, token: str) -> Answer:
    return await gateway.call("POST", "/orders", json={"sku": "tv"}, headers=bearer(token))


def known(gateway: EmbeddedGateway) -> key_set.KeySet:
    identity = gateway.context.identity
    assert identity
    assert identity.key_set
    return identity.key_set


async def asked(service: LoginService, times: int) -> None:
    async with asyncio.timeout(60):
        while service.asked < times:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["EC", "RSA", "OKP"])
async def test_a_token_is_checked_by_the_published_key(sqlite_url: str, kind: str) -> None:
    async with (
        login_service(a_key("one", kind), a_key("two", kind)) as login,
        open_gateway(sqlite_url, auth="jwt", jwks_url=login.url) as gateway,
    ):
        for number in (0, 1):
            assert (await order(gateway, login.token(number))).status == 202
        forged = login.token(0)
        forged = forged[:-20] + "A" * 20
        assert (await order(gateway, forged)).status == 401
        assert login.asked == 1


async def test_a_key_without_an_id_must_be_the_only_one(sqlite_url: str) -> None:
    one, two = a_key("one"), a_key("two")
    async with (
        login_service(one, a_key("three", "RSA")) as login,
        open_gateway(sqlite_url, auth="jwt", jwks_url=login.url) as gateway,
    ):
        token = signed(claims(), one, "ES256")
        assert (await order(gateway, token)).status == 202
        login.keys.append(two)
        await known(gateway).read()
        other = signed(claims(sub="bob"), one, "ES256")
        assert "kid is missing" in (await order(gateway, other)).headers["WWW-Authenticate"]


async def test_only_keys_that_can_check_a_signature_count(sqlite_url: str) -> None:
    parameters: Any = {"kid": "enc", "use": "enc"}
    for_encryption = ECKey.generate_key("P-256", parameters)
    published = OctKey.generate_key(256, {"kid": "oct"})
    small = {"kty": "RSA", "kid": "small", "e": "AQAB", "n": "u" * 170}
    other = a_key("good")
    good = other.as_dict(private=False)
    found = keys.read_keys(
        json.dumps(
            {
                "keys": [
                    for_encryption.as_dict(private=False),
                    published.as_dict(private=True),
                    small,
                    {"kty": "new"},
                    {"kty": "EC", "crv": "P-256", "x": "AA"},
                    {"kty": ["EC"]},
                    {"kty": "EC", "kid": 5, **{k: good[k] for k in ("crv", "x", "y")}},
                    good,
                ]
            }
        ).encode()
    )
    assert list(found.by_id) == ["good"]


async def test_an_algorithm_counts_only_for_its_kind_of_key(sqlite_url: str) -> None:
    rsa = RSAKey.generate_key(2048, {"kid": "k"})
    async with (
        login_service(rsa) as login,
        open_gateway(
            sqlite_url, auth="jwt", jwks_url=login.url, jwt_algorithms="ES256,RS256"
        ) as gateway,
    ):
        assert (await order(gateway, signed(claims(), rsa, "RS256", {"kid": "k"}))).status == 202
        for algorithm in ("PS256", "RS512"):
            token = signed(claims(), rsa, algorithm, {"kid": "k"})
            assert (await order(gateway, token)).status == 401
        token = signed(claims(), a_key("x"), "ES256", {"kid": "k"})
        assert (await order(gateway, token)).status == 401


async def test_a_key_is_rotated_in_mid_sale(sqlite_url: str) -> None:
    async with (
        login_service(a_key("old")) as login,
        open_gateway(sqlite_url, auth="jwt", jwks_url=login.url) as gateway,
    ):
        assert (await order(gateway, login.token())).status == 202
        login.keys.append(a_key("new"))
        login.answering.clear()
        # Many come at once with the new key: the set is fetched once, and all of them wait for it.
        tokens = [login.token(1, sub=f"c-{n}") for n in range(20)]
        orders = [asyncio.create_task(order(gateway, token)) for token in tokens]
        await asked(login, 2)
        assert (await order(gateway, login.token(0, sub="bob"))).status == 202  # nothing stops
        login.answering.set()
        assert {answer.status for answer in await asyncio.gather(*orders)} == {202}
        assert login.asked == 2


async def test_tokens_of_unknown_keys_make_one_fetch_in_thirty_seconds(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert key_set.UNKNOWN_KEY_SECONDS == 30
    async with (
        login_service(a_key("k")) as login,
        open_gateway(sqlite_url, auth="jwt", jwks_url=login.url) as gateway,
    ):
        for n in range(20):
            token = signed(claims(), a_key(f"unknown-{n}"), "ES256", {"kid": f"unknown-{n}"})
            answer = await order(gateway, token)
            assert (answer.status, answer.problem) == (401, "invalid-token")
        assert login.asked == 2  # at the start, and for the first of them
        monkeypatch.setattr(key_set, "UNKNOWN_KEY_SECONDS", 0)
        assert (await order(gateway, token)).status == 401
        assert login.asked == 3


async def test_a_key_that_is_taken_out_counts_no_longer(sqlite_url: str) -> None:
    async with (
        login_service(a_key("old"), a_key("new")) as login,
        open_gateway(sqlite_url, auth="jwt", jwks_url=login.url) as gateway,
    ):
        old, new = login.token(0), login.token(1)
        assert (await order(gateway, old)).status == 202
        del login.keys[0]
        assert (await order(gateway, old)).status == 202  # remembered
        await known(gateway).read()
        assert (await order(gateway, old)).status == 401
        assert (await order(gateway, new)).status == 202
        login.keys.clear()
        await known(gateway).read()
        assert (await order(gateway, new)).status == 401


async def test_the_keys_are_fetched_again_by_themselves(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_set, "REFRESH_SECONDS", 0.05)
    async with (
        login_service(a_key("k")) as login,
        open_gateway(sqlite_url, auth="jwt", jwks_url=login.url),
    ):
        await asked(login, 4)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("an error", {"status": 500}),
        ("a redirect", {"status": 302}),
        ("no JSON", {"body": b"<html>"}),
        ("no set", {"body": b"[]"}),
        ("no list", {"body": b'{"keys":5}'}),
        ("no keys", {"body": b'{"keys":[{"kty":"new"}]}'}),
        ("too many keys", {"body": b'{"keys":[' + b"{}," * 60 + b"{}]}"}),
        ("too much", {"body": b'{"keys":[]}' + b" " * (keys.MOST_BYTES + 1)}),
        ("nested deeply", {"body": b'{"keys":[{"a":' + b"[" * 100_000}),
        ("bytes", {"body": b"\xff\xfe"}),
    ],
)
async def test_the_keys_are_kept_if_no_others_come(
    sqlite_url: str, name: str, changes: dict[str, Any]
) -> None:
    async with (
        login_service(a_key("k")) as login,
        open_gateway(sqlite_url, auth="jwt", jwks_url=login.url) as gateway,
    ):
        failing_since = time.monotonic()
        for field, value in changes.items():
            setattr(login, field, value)
        await known(gateway).read()
        assert login.asked == 2
        assert known(gateway).trouble
        assert (await order(gateway, login.token())).status == 202
        # What the alert looks at.
        assert known(gateway).age_seconds >= time.monotonic() - failing_since


async def test_a_silent_login_service_holds_nobody_up(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        login_service(a_key("k")) as login,
        open_gateway(sqlite_url, auth="jwt", jwks_url=login.url) as gateway,
    ):
        login.answering.clear()
        monkeypatch.setattr(keys, "FETCH_SECONDS", 0.2)
        unknown = asyncio.create_task(
            order(gateway, signed(claims(), a_key("new"), "ES256", {"kid": "new"}))
        )
        await asked(login, 2)
        started = time.monotonic()
        assert (await order(gateway, login.token())).status == 202
        assert time.monotonic() - started < 5
        assert (await unknown).status == 401
        assert known(gateway).trouble == "no answer within 0.2 s"


async def test_without_any_keys_no_order_is_taken_and_the_gateway_is_not_ready(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_set, "_FIRST_RETRY_SECONDS", 0.05)
    async with login_service(a_key("k")) as login:
        login.status = 503
        async with open_gateway(sqlite_url, auth="jwt", jwks_url=login.url) as gateway:
            answer = await order(gateway, login.token())
            assert (answer.status, answer.problem) == (503, "keys-unavailable")
            assert answer.headers["Retry-After"] == "2"
            ready = await gateway.call("GET", "/readyz")
            assert ready.body["checks"]["keys of tokens"].endswith("answers 503")
            assert (await gateway.call("GET", "/sales/tv")).status == 200
            login.status = 200
            async with asyncio.timeout(60):
                while (await order(gateway, login.token())).status != 202:
                    await asyncio.sleep(0.02)
            assert (await gateway.call("GET", "/readyz")).status == 200


async def test_a_key_set_and_a_secret_may_count_together(sqlite_url: str) -> None:
    async with (
        login_service(a_key("k")) as login,
        open_gateway(sqlite_url, auth="jwt", jwks_url=login.url, jwt_secret=SECRET) as gateway,
    ):
        assert (await order(gateway, login.token())).status == 202
        assert (await order(gateway, token())).status == 202


async def test_the_address_of_the_keys_is_not_logged(
    sqlite_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    url = "http://gateway:hidden-word@127.0.0.1:1/keys?token=hidden-word"
    async with open_gateway(sqlite_url, auth="jwt", jwks_url=url):
        pass
    printed = "".join(capfd.readouterr())
    assert "keys of tokens not fetched" in printed
    assert "hidden-word" not in printed
