"""The limits of each client: what is refused with 429, what is free, and who counts as whom."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from gateway.limits import limited as limited_requests
from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway, open_gateway
from tests.integration.gateway.http.test_connections import GET, ORDER, POST, connected
from tests.integration.gateway.http.test_proxies import behind_nginx
from tests.integration.gateway.identity.signing import SECRET, bearer, token

LIMITED = {"client_rate": 0.2, "client_burst": 2, "client_read_rate": 0.2, "client_read_burst": 3}
BEHIND = LIMITED | {"trusted_proxies": "127.0.0.0/8"}
NGINX_IS = "127.0.0.77"
NGINX = f"""
server {{
    listen LISTEN;
    location / {{
        proxy_pass http://127.0.0.1:8080;
        proxy_bind {NGINX_IS};
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
}}
"""


@pytest.fixture
async def limited(sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    async with open_gateway(sqlite_url, **LIMITED) as gateway:
        yield gateway


@pytest.fixture
async def behind(sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    """A gateway that takes this test for a proxy."""
    async with open_gateway(sqlite_url, **BEHIND) as gateway:
        yield gateway


async def statuses(gateway: EmbeddedGateway, count: int, *addresses: str) -> list[int]:
    """The answers to reads that come from these addresses one after another, says a proxy."""
    answers = []
    for number in range(count):
        headers = {"X-Forwarded-For": addresses[number % len(addresses)]} if addresses else {}
        answers.append((await gateway.call("GET", "/sales/tv", headers=headers)).status)
    return answers


async def test_an_order_over_the_limit_is_429_with_the_fields_of_the_draft(
    limited: EmbeddedGateway,
) -> None:
    assert [(await limited.order()).status for _ in range(2)] == [202, 202]
    refused = await limited.order()
    assert (refused.status, refused.problem) == (429, "client-rate")
    assert refused.headers["RateLimit-Policy"] == '"order";q=2;w=10'
    assert re.fullmatch(r'"order";r=0;t=[45]', refused.headers["RateLimit"])
    assert refused.headers["Retry-After"] in ("4", "5")
    assert refused.headers["Cache-Control"] == "no-store"
    assert await limited.backlog() == 2
    metrics = limited.context.metrics
    assert metrics.orders.counts()["client-rate",] == 1
    assert metrics.requests.of("POST", "/orders") == {202: 2, 429: 1}


async def test_reads_and_orders_are_counted_apart(limited: EmbeddedGateway) -> None:
    assert await statuses(limited, 5) == [200, 200, 200, 429, 429]
    assert (await limited.call("GET", "/nothing")).status == 429
    refused = await limited.call("GET", "/orders/x/events")
    assert (refused.problem, refused.headers["RateLimit-Policy"]) == (
        "client-rate",
        '"read";q=3;w=15',
    )
    assert (await limited.order()).status == 202
    assert (await limited.call("GET", "/healthz")).status == 200
    assert (await limited.call("GET", "/readyz")).status == 200


async def test_without_the_settings_nothing_is_limited(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url) as gateway:
        assert gateway.context.client_limits is None
        assert len(gateway.app.middlewares) == 1
        assert await statuses(gateway, 50) == [200] * 50


@pytest.mark.parametrize("alone", ["client_rate", "client_read_rate"])
async def test_each_limit_works_alone(sqlite_url: str, alone: str) -> None:
    async with open_gateway(sqlite_url, **LIMITED | {alone: None}) as gateway:
        orders = [(await gateway.order()).status for _ in range(5)]
        reads = await statuses(gateway, 5)
        assert (429 in orders, 429 in reads) == (alone != "client_rate", alone == "client_rate")


async def test_a_client_that_obeys_retry_after_is_taken_the_next_time(sqlite_url: str) -> None:
    limits = {"client_rate": 2, "client_burst": 1}
    async with open_gateway(sqlite_url, **limits) as gateway:
        assert (await gateway.order()).status == 202
        for _ in range(3):
            refused = await gateway.order()
            assert refused.status == 429
            await asyncio.sleep(int(refused.headers["Retry-After"]))
            assert (await gateway.order()).status == 202


async def test_a_keyed_retry_of_a_known_order_costs_nothing(limited: EmbeddedGateway) -> None:
    first = await limited.order("k-1")
    for _ in range(30):
        retry = await limited.order("k-1")
        assert (retry.status, retry.body["order_id"]) == (202, first.body["order_id"])
    # And what is left of the burst is still there.
    assert (await limited.order("k-2")).status == 202
    refused = await limited.order("k-3")
    assert (refused.status, refused.problem) == (429, "client-rate")
    assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(refused.headers)
    assert refused.body["order_id"]
    assert "earlier_attempt" not in refused.body
    assert (await limited.order("k-2")).status == 202
    assert (await limited.order("k-2", quantity=2)).problem == "key-reused"
    assert await limited.backlog() == 2


async def test_a_retry_of_an_order_that_only_the_ledger_knows_is_free(
    limited: EmbeddedGateway,
) -> None:
    limited.drain()
    first = await limited.order("k-1")
    while not await limited.stack.ledger.find([first.body["order_id"]]):
        await asyncio.sleep(0.02)
    limited.context.orders._known.clear()
    limited.context.orders._waiting.clear()
    limited.context.orders.hear()
    assert [(await limited.order()).status for _ in range(2)] == [202, 429]
    retry = await limited.order("k-1")
    assert (retry.status, retry.body["status"]) == (202, "confirmed")
    assert (await limited.order("k-9")).status == 429


async def test_a_flood_of_keys_is_refused_before_bodies_are_read(limited: EmbeddedGateway) -> None:
    answers = [await limited.post(b"no JSON", Idempotency_Key=f"k-{n}") for n in range(100)]
    assert [answer.problem for answer in answers] == ["bad-json"] * 100
    for number in range(1000):  # more than the ten that are let through each second
        answer = await limited.post(b"no JSON", Idempotency_Key=f"l-{number}")
        if answer.problem != "bad-json":
            break
    assert answer.problem == "client-rate"
    assert answer.headers["RateLimit-Policy"] == '"order";q=2;w=10'


async def test_a_refused_order_is_answered_before_its_body_comes(limited: EmbeddedGateway) -> None:
    for _ in range(2):
        await limited.order()
    async with connected(limited) as client:
        client.send(POST)
        async with asyncio.timeout(5):  # and not after the 10 s that a body may take
            head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nConnection: close" in head
        assert json.loads(body)["type"] == "/problems/client-rate"


async def test_a_refused_client_keeps_its_connection(limited: EmbeddedGateway) -> None:
    async with connected(limited) as client:
        client.send((POST + ORDER) * 4 + GET + b"Connection: close\r\n\r\n")
        answers = await client.rest()
    assert re.findall(rb"HTTP/1.1 (\d+) ", answers) == [b"202", b"202", b"429", b"429", b"200"]


async def test_the_first_address_from_the_right_that_is_no_proxy_is_the_client(
    behind: EmbeddedGateway,
) -> None:
    one, other = "203.0.113.1", "203.0.113.2"
    assert await statuses(behind, 4, one) == [200, 200, 200, 429]
    assert await statuses(behind, 4, other) == [200, 200, 200, 429]
    assert await statuses(behind, 1, f"198.51.100.9, {one}") == [429]
    assert await statuses(behind, 1, f"{one}:1234, 127.0.0.9") == [429]
    assert await statuses(behind, 1, f"::ffff:{one}") == [429]


async def test_rotating_addresses_within_a_64_gains_nothing(behind: EmbeddedGateway) -> None:
    addresses = [f"2001:db8:1:2:{n:x}::{n:x}" for n in range(1, 50)]
    assert (await statuses(behind, 49, *addresses)).count(200) == 3
    assert await statuses(behind, 1, "2001:db8:1:3::1") == [200]


async def test_a_header_of_a_client_that_is_no_proxy_gains_nothing(
    limited: EmbeddedGateway,
) -> None:
    addresses = [f"203.0.113.{n}" for n in range(20)]
    with capture_logs() as lines:
        assert (await statuses(limited, 20, *addresses)).count(200) == 3
    warned = [line for line in lines if line["log_level"] == "warning"]
    assert len(warned) == 1
    assert "FLASHSALE_TRUSTED_PROXIES" in warned[0]["event"]


GARBAGE = (
    *("", ",", "unknown", "[", "]", "[::", "::::", "1.2.3.4:99999999", "\xff\xfe", " , ,\t"),
    *('"', 'for="', "=;=", ",".join(["9.9.9.9"] * 800), "10.0.0.1 evil", "%s%n", "1.2.3.4;"),
)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
async def test_garbage_in_the_header_is_never_a_500(sqlite_url: str, header: str) -> None:
    settings = BEHIND | {"client_header": header, "client_read_burst": 1000}
    async with open_gateway(sqlite_url, **settings) as gateway:
        for garbage in GARBAGE:
            line = f"{header}: {garbage}\r\n".encode("latin-1")
            async with connected(gateway) as client:
                client.send(GET.replace(b"/healthz", b"/sales/tv") + line * 2)
                client.send(b"Connection: close\r\n\r\n")
                assert (await client.rest()).startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))
        counted = gateway.context.metrics.requests.of("GET", "/sales/{sku}")
        assert counted[200] >= len(GARBAGE) - 3
        assert set(counted) == {200}


@pytest.mark.parametrize("spoofed", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
@pytest.mark.parametrize("hops", [1, 300])
async def test_behind_nginx_a_client_can_not_choose_its_address(
    sqlite_url: str, spoofed: str, hops: int
) -> None:
    # The client and nginx have different addresses: else the client would be trusted, too.
    async with behind_nginx(sqlite_url, NGINX, **LIMITED, trusted_proxies=NGINX_IS) as opened:
        gateway, server = opened
        answers = []
        for number in range(10):
            hop = f"203.0.113.{number}"
            hop = hop if spoofed != "Forwarded" else f"for={hop}"
            headers = {spoofed: ", ".join([hop] * hops)}
            async with gateway.client.get(f"{server.url}/sales/tv", headers=headers) as answer:
                answers.append(answer.status)
        assert answers == [200] * 3 + [429] * 7


async def test_behind_nginx_each_client_has_a_limit_of_its_own(sqlite_url: str) -> None:
    async with behind_nginx(sqlite_url, NGINX, **LIMITED, trusted_proxies=NGINX_IS) as opened:
        _, server = opened
        for client in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            connector = aiohttp.TCPConnector(local_addr=(client, 0))
            async with aiohttp.ClientSession(connector=connector) as session:
                answers = []
                for _ in range(4):
                    async with session.get(f"{server.url}/sales/tv") as answer:
                        answers.append(answer.status)
                assert answers == [200, 200, 200, 429]


async def test_more_connections_than_a_client_may_have_are_refused(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, client_connections=3) as gateway:
        await gateway.client.close()
        async with connected(gateway) as one, connected(gateway) as two, connected(gateway):
            for client in (one, two):
                client.send(GET + b"\r\n")
            async with connected(gateway) as refused:
                assert await refused.problem() == (429, "client-connections")
            one.send(GET + b"Connection: close\r\n\r\n")
            assert (await one.rest()).count(b"HTTP/1.1 200 ") == 2
            async with asyncio.timeout(60):
                while True:  # until the gateway has seen the ends
                    async with connected(gateway) as next_one:
                        next_one.send(GET + b"Connection: close\r\n\r\n")
                        if (await next_one.rest()).startswith(b"HTTP/1.1 200 "):
                            break
        counted = gateway.context.metrics.requests.counts()
        assert counted["other", "none", 429] >= 1


async def test_a_flood_of_connections_is_cut_without_an_answer(sqlite_url: str) -> None:
    async with (
        open_gateway(sqlite_url, client_connections=1) as gateway,
        connected(gateway),
        asyncio.timeout(60),
    ):
        cut = 0
        opened = [asyncio.open_connection(*address(gateway)) for _ in range(60)]
        for reader, writer in await asyncio.gather(*opened):
            try:
                cut += await reader.read() == b""
            except ConnectionError:
                cut += 1
            writer.close()
        assert cut >= 40


def address(gateway: EmbeddedGateway) -> tuple[str, int]:
    host, port = gateway.url.removeprefix("http://").split(":")
    return host, int(port)


async def test_a_trusted_proxy_may_have_any_number_of_connections(sqlite_url: str) -> None:
    settings = {"client_connections": 1, "trusted_proxies": "127.0.0.1"}
    async with (
        open_gateway(sqlite_url, **settings) as gateway,
        connected(gateway) as one,
        connected(gateway) as two,
    ):
        for client in (one, two):
            client.send(GET + b"Connection: close\r\n\r\n")
            assert (await client.rest()).startswith(b"HTTP/1.1 200 ")


async def test_a_client_behind_a_proxy_may_have_so_many_streams(sqlite_url: str) -> None:
    settings = {"client_connections": 2, "trusted_proxies": "127.0.0.1"}
    async with open_gateway(sqlite_url, **settings) as gateway:

        def stream(client: str) -> Any:
            headers = {"X-Forwarded-For": client}
            return gateway.client.get(f"{gateway.url}/sales/tv/events", headers=headers)

        async with stream("203.0.113.1") as first, stream("203.0.113.1") as second:
            assert (first.status, second.status) == (200, 200)
            async with stream("203.0.113.1") as third:
                answer = Answer(third.status, third.headers, json.loads(await third.text()))
            assert (answer.status, answer.problem) == (429, "client-connections")
            assert answer.headers["Retry-After"] == "5"
            async with stream("203.0.113.2") as other:
                assert other.status == 200
        async with asyncio.timeout(60):
            while len(gateway.context.client_limits.waiting):  # type: ignore[union-attr]
                await asyncio.sleep(0.02)


async def test_the_number_of_known_clients_is_a_metric(behind: EmbeddedGateway) -> None:
    await statuses(behind, 3, "203.0.113.1", "203.0.113.2", "203.0.113.3")
    async with asyncio.timeout(60):
        while behind.context.metrics.clients._value.get() != 3:
            await asyncio.sleep(0.05)


async def test_a_flood_waits_for_its_refusals_and_others_do_not(sqlite_url: str) -> None:
    settings = BEHIND | {"client_read_burst": 20, "client_read_rate": 1}
    async with open_gateway(sqlite_url, **settings) as gateway:
        began = time.monotonic()
        ended: dict[str, float] = {}

        async def flood() -> None:
            refused = asyncio.gather(*(statuses(gateway, 1, "203.0.113.1") for _ in range(120)))
            assert (await refused).count([200]) == 20
            ended["flood"] = time.monotonic() - began

        async def other() -> None:
            await asyncio.sleep(0)
            assert await statuses(gateway, 10, "203.0.113.2") == [200] * 10
            ended["other"] = time.monotonic() - began

        await asyncio.gather(flood(), other())
        assert ended["flood"] >= 100 / 200
        assert ended["other"] < ended["flood"]


async def test_the_refusals_of_a_flood_do_not_come_together(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its connections are more than are refused in a second, so all of them wait as long as any may.
    monkeypatch.setattr(limited_requests, "_REFUSED_A_SECOND", 1)
    monkeypatch.setattr(limited_requests, "_LONGEST_DELAY_SECONDS", 0.1)
    delays: list[float] = []

    async def noted(seconds: float) -> None:
        delays.append(seconds)
        await asyncio.sleep(seconds)

    monkeypatch.setattr(limited_requests, "asyncio", SimpleNamespace(sleep=noted))
    async with open_gateway(sqlite_url, **LIMITED) as gateway:
        await asyncio.gather(*(statuses(gateway, 1) for _ in range(43)))
    assert len(delays) == 40
    assert max(delays) - min(delays) > 0.05
    assert 0.07 < sum(delays) / 40 < 0.13, "as many a second as before"


async def test_a_flood_that_hangs_up_is_not_waited_for(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_requests, "_REFUSED_A_SECOND", 0.001)
    monkeypatch.setattr(limited_requests, "_LONGEST_DELAY_SECONDS", 1000.0)
    monkeypatch.setattr(limited_requests, "_LOOK_SECONDS", 0.5)
    waiting: list[float] = []

    async def noted(seconds: float) -> None:
        waiting.append(seconds)
        await asyncio.sleep(seconds)
        waiting.pop()

    async def settled(count: int) -> None:
        async with asyncio.timeout(60):
            while len(waiting) != count:
                await asyncio.sleep(0.01)

    monkeypatch.setattr(limited_requests, "asyncio", SimpleNamespace(sleep=noted))
    async with open_gateway(sqlite_url, **LIMITED) as gateway:
        assert await statuses(gateway, 3) == [200, 200, 200]
        for _ in range(3):
            async with connected(gateway) as client:
                client.send(b"GET /sales/tv HTTP/1.1\r\nHost: x\r\n\r\n")
                await settled(1)
            await settled(0)


async def test_a_known_customer_is_counted_and_not_the_address(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, auth="jwt", jwt_secret=SECRET, **LIMITED) as gateway:

        async def read(customer: str | None) -> int:
            headers = {} if customer is None else bearer(token(sub=customer))
            return (await gateway.call("GET", "/sales/tv", headers=headers)).status

        for customer in ("alice", "bob", None):
            assert [await read(customer) for _ in range(4)] == [200, 200, 200, 429]
