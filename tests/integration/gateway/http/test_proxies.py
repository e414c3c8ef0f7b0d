"""The gateway under a path of a site, behind nginx and with the headers of proxies."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from yarl import URL

from flashsale.runtime.settings import Settings
from gateway.server.connection import Connection
from gateway.server.connections import Connections
from loadtest.servers import Nginx, ServerNotFound, nginx
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway

DOCUMENTED = re.search(
    r"```nginx\n(.*?)```", (Path(__file__).parents[4] / "docs/deploy.md").read_text(), re.DOTALL
)
# What nginx does if it is told nothing else: HTTP/1.0 to the gateway, the path passed on, and
# everything that it can compressed.
PLAIN = """
gzip on;
gzip_proxied any;
gzip_min_length 1;
gzip_types *;
server {
    listen LISTEN;
    location /flash { proxy_pass http://127.0.0.1:8080; }
}
"""


@asynccontextmanager
async def behind_nginx(
    sqlite_url: str, http: str, **settings: Any
) -> AsyncIterator[tuple[EmbeddedGateway, Nginx]]:
    async with AsyncExitStack() as exits:
        gateway = await exits.enter_async_context(open_gateway(sqlite_url, **settings))
        http = http.replace("127.0.0.1:8080", gateway.url.removeprefix("http://"))
        try:
            server = await asyncio.to_thread(exits.enter_context, nginx(http))
        except ServerNotFound as error:
            pytest.skip(str(error))
        yield gateway, server


@pytest.fixture(params=["documented", "plain"])
async def proxied(
    request: pytest.FixtureRequest, sqlite_url: str
) -> AsyncIterator[tuple[EmbeddedGateway, Nginx]]:
    """A gateway at /flash/ of an nginx."""
    if request.param == "plain":
        http, settings = PLAIN, {"public_path": "/flash"}
    else:
        assert DOCUMENTED
        http = DOCUMENTED[1].replace("listen 80;", "listen LISTEN;")
        settings = {"trusted_proxies": "127.0.0.0/8"}
    async with behind_nginx(sqlite_url, http, **settings) as opened:
        yield opened


async def test_the_page_and_all_its_files_are_found_under_the_path(
    proxied: tuple[EmbeddedGateway, Nginx],
) -> None:
    gateway, server = proxied
    async with gateway.client.get(f"{server.url}/flash") as answer:
        assert str(answer.url) == f"{server.url}/flash/"  # after a redirect
        page, text = str(answer.url), await answer.text()
    files = re.findall(r'(?:href|src)="([^"]+)"', text)
    assert len(files) == 3
    for file in files:
        async with gateway.client.get(urljoin(page, file)) as answer:
            assert answer.status == 200
            tag, body = answer.headers["ETag"], await answer.read()
        assert body
        # A compressed one has a weak tag.
        headers = {"If-None-Match": tag}
        async with gateway.client.get(urljoin(page, file), headers=headers) as answer:
            assert answer.status == 304


async def test_an_order_is_made_and_followed_under_the_path(
    proxied: tuple[EmbeddedGateway, Nginx],
) -> None:
    gateway, server = proxied
    order = {"sku": "tv", "customer_id": "c"}
    async with gateway.client.post(f"{server.url}/flash/orders", json=order) as answer:
        assert answer.status == 202
        order_id = (await answer.json())["order_id"]
        location = answer.headers["Location"]
    assert location == f"/flash/orders/{order_id}"
    async with gateway.client.get(server.url + location) as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "queued")
    async with gateway.client.get(f"{server.url}/flash/nothing") as answer:
        assert answer.headers["Content-Type"] == "application/problem+json"
    # Directly, without the proxy, nothing changes but the Location.
    assert (await gateway.call("GET", f"/orders/{order_id}")).status == 200


async def test_events_come_through_one_by_one(proxied: tuple[EmbeddedGateway, Nginx]) -> None:
    gateway, server = proxied
    taken = await gateway.order()
    path = f"{server.url}/flash/orders/{taken.body['order_id']}/events"
    headers = {"Accept-Encoding": "gzip"}
    async with asyncio.timeout(60), gateway.client.get(path, headers=headers) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        seen = ""
        while "event: queued" not in seen:  # the order still waits, and the stream is open
            seen += (await stream.content.readany()).decode()
        gateway.drain()
        seen += (await stream.content.read()).decode()
    assert "event: confirmed" in seen


async def test_nginx_keeps_its_connections_and_is_the_first_to_close_them(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert DOCUMENTED
    http = DOCUMENTED[1].replace("listen 80;", "listen LISTEN;")
    # Only a keepalive_timeout in the upstream could keep them longer than nginx's 60 s.
    assert "keepalive_timeout" not in http
    assert Settings().keep_alive_seconds > 600
    http = http.replace("keepalive 64;", "keepalive 64; keepalive_timeout 500ms;")
    async with behind_nginx(sqlite_url, http, keep_alive_seconds=5) as (gateway, server):
        made: list[Connection] = []
        make = Connections.__call__

        def noted(connections: Connections) -> Connection:
            made.append(make(connections))
            return made[-1]

        monkeypatch.setattr(Connections, "__call__", noted)
        for burst in range(1, 4):
            for _ in range(10):
                async with gateway.client.get(f"{server.url}/flash/healthz") as answer:
                    assert answer.status == 200
            assert len(made) == burst
            await asyncio.sleep(0.7)
            assert not made[-1].connected
            assert made[-1].requests == 10
        assert (server.folder / "server.log").read_text() == ""


@pytest.mark.parametrize(
    ("settings", "headers", "prefix"),
    [
        ({}, {}, ""),
        ({}, {"X-Forwarded-Prefix": "/evil"}, ""),
        ({"public_path": "/flash/"}, {}, "/flash"),
        ({"public_path": "/flash"}, {"X-Forwarded-Prefix": "/evil"}, "/flash"),
        ({"trusted_proxies": "10.0.0.0/8"}, {"X-Forwarded-Prefix": "/evil"}, ""),
        ({"trusted_proxies": "10.0.0.0/8, 127.0.0.1"}, {"X-Forwarded-Prefix": "/a/b"}, "/a/b"),
        ({"trusted_proxies": "127.0.0.1"}, {"X-Forwarded-Prefix": "/a/b/"}, "/a/b"),
        ({"trusted_proxies": "127.0.0.1"}, {"X-Forwarded-Prefix": "//evil.example"}, ""),
        ({"trusted_proxies": "127.0.0.1"}, {"X-Forwarded-Prefix": "/../x"}, ""),
        ({"trusted_proxies": "127.0.0.1"}, {"X-Forwarded-Prefix": "/a b"}, ""),
        ({"trusted_proxies": "127.0.0.1"}, {"X-Forwarded-Prefix": "/" + "a" * 300}, ""),
        ({"trusted_proxies": "127.0.0.1", "public_path": "/flash"}, {}, "/flash"),
    ],
)
async def test_the_location_has_the_path_of_the_setting_or_of_a_trusted_proxy(
    sqlite_url: str, settings: dict[str, str], headers: dict[str, str], prefix: str
) -> None:
    async with open_gateway(sqlite_url, **settings) as gateway:
        body = {"sku": "tv", "customer_id": "c"}
        taken = await gateway.call("POST", "/orders", json=body, headers=headers)
        assert taken.headers["Location"] == f"{prefix}/orders/{taken.body['order_id']}"


async def test_addresses_work_with_the_path_and_without(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, public_path="/a/b") as gateway:
        for path in ("/a/b/sales/tv", "/sales/tv"):
            assert (await gateway.call("GET", path)).body["sku"] == "tv"
        ranked = await gateway.call("GET", "/a/b/sales/tv/ranking?limit=x")
        assert (ranked.status, ranked.problem) == (400, "bad-request")
        for path in ("/a/sales/tv", "/a/bsales/tv", "/a/b//sales/tv", "/a/b/a/b/sales/tv"):
            assert (await gateway.call("GET", path)).status == 404
        async with gateway.client.get(f"{gateway.url}/a/b", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (308, "/a/b/")
        linked = f"{gateway.url}/a/b?sku=tv&x=%22"
        async with gateway.client.get(URL(linked, encoded=True), allow_redirects=False) as answer:
            assert answer.headers["Location"] == "/a/b/?sku=tv&x=%22"
        for path in ("/%61/b/sales/tv", "/a%2Fb/sales/tv"):  # only the first is the same path
            async with gateway.client.get(URL(gateway.url + path, encoded=True)) as answer:
                assert answer.status == (404 if "%2F" in path else 200)
        counted = gateway.context.metrics.requests.of("GET", "/sales/{sku}")
        assert counted == {200: 3}
