"""Requests of pages on other origins, `OPTIONS`, and the headers that every answer has."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway, open_gateway, raw

SHOP = "https://shop.example"
STRANGER = "https://shop.example.evil"
EXPOSED = "Location, Retry-After, RateLimit, RateLimit-Policy"


@pytest.fixture
async def shared(sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    """A gateway that the pages of two origins may use."""
    async with open_gateway(sqlite_url, cors_origins=f"http://localhost:3000,{SHOP}") as opened:
        yield opened


async def preflight(gateway: EmbeddedGateway, path: str, origin: str, method: str) -> Answer:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "content-type,idempotency-key",
    }
    return await gateway.call("OPTIONS", path, headers=headers)


def cors_headers(answer: Answer) -> dict[str, str]:
    return {
        name: value for name, value in answer.headers.items() if name.startswith("Access-Control")
    }


@pytest.mark.parametrize(
    ("path", "method", "methods"),
    [
        ("/orders", "POST", "OPTIONS, POST"),
        ("/orders/x", "GET", "GET, HEAD, OPTIONS"),
        ("/orders/x/events", "GET", "GET, HEAD, OPTIONS"),
        ("/client.js", "GET", "GET, HEAD, OPTIONS"),
        ("/sales", "GET", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_preflight_of_the_shop_is_answered_and_may_be_kept(
    shared: EmbeddedGateway, path: str, method: str, methods: str
) -> None:
    answer = await preflight(shared, path, SHOP, method)
    assert answer.status == 204
    assert answer.headers["Allow"] == methods
    assert answer.headers["Vary"] == "Origin"
    assert cors_headers(answer) == {
        "Access-Control-Allow-Origin": SHOP,
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key,"
        " Last-Event-ID, Prefer, Purchase-Pass, X-Request-ID, traceparent",
        "Access-Control-Max-Age": "7200",
        "Access-Control-Expose-Headers": EXPOSED,
    }


async def test_the_shop_may_read_every_answer(shared: EmbeddedGateway) -> None:
    headers = {"Origin": SHOP}
    taken = await shared.call(
        "POST", "/orders", json={"sku": "tv", "customer_id": "c"}, headers=headers
    )
    assert taken.status == 202
    refused = await shared.call("POST", "/orders", data=b"x", headers=headers)
    assert refused.status == 415
    unknown = await shared.call("GET", "/orders/x", headers=headers)
    assert unknown.status == 404
    sales = await shared.call("GET", "/sales", headers=headers)
    for answer in (taken, refused, unknown, sales):
        assert cors_headers(answer) == {
            "Access-Control-Allow-Origin": SHOP,
            "Access-Control-Expose-Headers": EXPOSED,
        }
        assert answer.headers["Vary"] == "Origin"
    path = f"{shared.url}{taken.headers['Location']}/events"
    async with shared.client.get(path, headers=headers) as stream:
        assert stream.headers["Access-Control-Allow-Origin"] == SHOP
        assert stream.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origin", [STRANGER, "http://shop.example", "https://shop.example:8443", "null", ""]
)
async def test_no_other_origin_may_read_anything(shared: EmbeddedGateway, origin: str) -> None:
    asked = await preflight(shared, "/orders", origin, "POST")
    assert (asked.status, asked.headers["Allow"]) == (204, "OPTIONS, POST")
    read = await shared.call("GET", "/sales", headers={"Origin": origin})
    for answer in (asked, read):
        assert cors_headers(answer) == {}
        assert answer.headers["Vary"] == "Origin"  # or a cache would give it to the shop


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /orders/" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\nORIGIN: %s \r\n\r\n", 414),
        (b"GET /sales HTTP/1.1\r\nHost: x\r\nOrigin: %s\r\nA: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET /sales HTTP/1.1\r\nHost: x\r\nOrigin: %s\r\nA B: c\r\n\r\n", 400),
        (b"POST /orders HTTP/1.1\r\nHost: x\r\nOrigin: %s\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /orders HTTP/1.1\r\nHost: x\r\nOrigin: %s\r\nExpect: x\r\n\r\n", 417),
        (b"GET /sales HTTP/2.0\r\nHost: x\r\nOrigin: %s\r\n\r\n", 505),
    ],
)
async def test_the_shop_may_read_why_a_request_could_not_be_read(
    shared: EmbeddedGateway, request_: bytes, status: int
) -> None:
    for origin, allowed in ((SHOP, True), (STRANGER, False), (f"{SHOP}\r\nOrigin: x", False)):
        answer = await raw(shared, request_ % origin.encode())
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nVary: Origin\r\n" in answer
        assert (f"\r\nAccess-Control-Allow-Origin: {SHOP}\r\n".encode() in answer) == allowed
        assert STRANGER.encode() not in answer


async def test_a_request_that_trickles_in_is_told_to_the_shop(
    sqlite_url: str,
) -> None:
    async with open_gateway(sqlite_url, cors_origins=SHOP, header_seconds=0.2) as gateway:
        answer = await raw(gateway, f"GET /sales HTTP/1.1\r\nOrigin: {SHOP}\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert f"\r\nAccess-Control-Allow-Origin: {SHOP}\r\n".encode() in answer


async def test_the_shop_may_reach_a_gateway_in_a_private_network(shared: EmbeddedGateway) -> None:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Private-Network": "true",
    }
    for origin, allowed in ((SHOP, "true"), (STRANGER, None)):
        answer = await shared.call("OPTIONS", "/orders", headers={"Origin": origin, **asked})
        assert answer.headers.get("Access-Control-Allow-Private-Network") == allowed


async def test_the_shop_may_not_read_what_is_for_operators(shared: EmbeddedGateway) -> None:
    for path in ("/ops", "/ops/samples", "/readyz", "/nothing", "/ordersX", "/sales-of"):
        assert cors_headers(await preflight(shared, path, SHOP, "GET")) == {}


async def test_by_default_no_origin_may_read_anything(gateway: EmbeddedGateway) -> None:
    asked = await preflight(gateway, "/orders", SHOP, "POST")
    assert (asked.status, asked.headers["Allow"]) == (204, "OPTIONS, POST")
    assert cors_headers(asked) == {}
    assert "Vary" not in asked.headers


async def test_options_tell_the_methods_of_an_address(gateway: EmbeddedGateway) -> None:
    assert (await gateway.call("OPTIONS", "/sales/tv")).headers["Allow"] == "GET, HEAD, OPTIONS"
    missing = await gateway.call("OPTIONS", "/nothing")
    assert (missing.status, missing.problem) == (404, "not-found")
    server = await raw(gateway, b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert server.startswith(b"HTTP/1.1 204 ")
    assert b"\r\nAllow: GET, HEAD, OPTIONS, POST\r\n" in server
    assert b"Content-Length" not in server


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/page/shop.js"),
        ("GET", "/sales"),
        ("GET", "/orders/x"),
        ("GET", "/nothing"),
        ("GET", "/healthz"),
        ("GET", "/sales/tv/events"),
        ("OPTIONS", "/orders"),
        ("DELETE", "/orders"),
        ("POST", "/orders"),
    ],
)
async def test_every_answer_is_safe_in_a_browser(
    gateway: EmbeddedGateway, method: str, path: str
) -> None:
    async with gateway.client.request(method, gateway.url + path) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert policy.endswith("frame-ancestors 'none'")
        assert "Server" not in answer.headers
