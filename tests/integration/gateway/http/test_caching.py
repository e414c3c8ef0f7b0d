"""What caches may keep: nothing of an order and no error; of pages only the current version."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from flashsale.domain.order_ids import keyed_order_id
from loadtest.servers import ServerNotFound, Varnish, varnish
from tests.integration.gateway.embedded_gateway import SECRET, EmbeddedGateway

NOWHERE = "0" * 32


@pytest.fixture
async def cache(gateway: EmbeddedGateway) -> AsyncIterator[Varnish]:
    """A Varnish in front of the gateway."""
    port = int(gateway.url.rpartition(":")[2])
    with ExitStack() as exits:
        try:
            yield await asyncio.to_thread(exits.enter_context, varnish(port))
        except ServerNotFound as error:
            pytest.skip(str(error))


async def test_a_cache_forgets_that_an_order_was_unknown(
    gateway: EmbeddedGateway, cache: Varnish
) -> None:
    path = f"/orders/{keyed_order_id(SECRET, 'c-1', 'a-key')}"

    async def status() -> int:
        async with gateway.client.get(cache.url + path) as answer:
            assert "Varnish" in answer.headers["Via"]
            return answer.status

    assert await status() == 404
    assert (await gateway.order(key="a-key")).headers["Location"] == path
    assert await status() == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/orders/{NOWHERE}", 404),
        ("GET", "/orders/x", 404),
        ("GET", f"/orders/{NOWHERE}/events", 404),
        ("GET", "/sales/nothing", 404),
        ("GET", "/nothing", 404),
        ("DELETE", "/orders", 405),
        ("POST", "/orders", 415),
        ("GET", "/sales/tv/ranking?limit=x", 400),
        ("GET", "/ops", 404),
        ("GET", "/sales", 200),
        ("GET", "/sales/tv", 200),
        ("GET", "/sales/tv/ranking", 200),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
    ],
)
async def test_no_error_and_no_state_is_kept(
    gateway: EmbeddedGateway, method: str, path: str, status: int
) -> None:
    answer = await gateway.call(method, path)
    assert (answer.status, answer.headers["Cache-Control"]) == (status, "no-store")


async def test_no_answer_about_an_order_is_kept(gateway: EmbeddedGateway) -> None:
    taken = await gateway.order()
    assert taken.headers["Cache-Control"] == "no-store"
    path = taken.headers["Location"]
    assert (await gateway.call("GET", path)).headers["Cache-Control"] == "no-store"
    assert (await gateway.order(sku="gone")).headers["Cache-Control"] == "no-store"
    async with gateway.client.get(f"{gateway.url}{path}/events") as stream:
        assert stream.headers["Cache-Control"] == "no-store, no-transform"
    gateway.drain()
    async with gateway.client.get(f"{gateway.url}{path}/events") as stream:
        last = [line for line in (await stream.text()).splitlines() if line.startswith("id:")][-1]
    again = {"Last-Event-ID": last.removeprefix("id: ")}
    async with gateway.client.get(f"{gateway.url}{path}/events", headers=again) as stream:
        assert (stream.status, stream.headers["Cache-Control"]) == (204, "no-store")


@pytest.mark.parametrize("path", ["/", "/page/shop.js"])
async def test_a_page_is_asked_for_again_and_not_sent_again(
    gateway: EmbeddedGateway, path: str
) -> None:
    async with gateway.client.get(gateway.url + path) as answer:
        assert answer.headers["Cache-Control"] == "no-cache"
        tag = answer.headers["ETag"]
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        headers = {"If-None-Match": given}
        async with gateway.client.get(gateway.url + path, headers=headers) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
            assert answer.headers["ETag"] == tag
            assert answer.headers["Cache-Control"] == "no-cache"
            assert "Content-Length" not in answer.headers
    headers = {"If-None-Match": '"other"'}
    async with gateway.client.get(gateway.url + path, headers=headers) as answer:
        assert answer.status == 200
