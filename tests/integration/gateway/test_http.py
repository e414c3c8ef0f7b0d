"""Every answer of the gateway, through a real socket, on the embedded stack."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import generate_latest
from pydantic import SecretStr

from consumer.app import run_drain
from flashsale.broker import BrokerUnavailable, Deliveries, EmbeddedBroker, Topology
from flashsale.domain.sales import Sale
from flashsale.ledger import Buyer, RankingQuery
from flashsale.ledger.sql.ledger import SqlLedger
from flashsale.messages.events import OrderEvent
from flashsale.observability.consumer_metrics import ConsumerMetrics
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import Stack, open_stack
from gateway.app import create_app, retire, serving
from gateway.context import BACKLOG, METRICS
from gateway.intake import order_request as reading
from gateway.routes import streams as events
from services.builtin.ranking import add_items

SECRET = b"a secret of the tests"


@dataclass
class Answer:
    status: int
    headers: Any
    body: Any

    @property
    def problem(self) -> str:
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.body["status"] == self.status
        assert self.body["title"]
        assert self.body["detail"]
        return str(self.body["type"]).removeprefix("/problems/")


NO_SERVICES = Topology((), (), ())


@dataclass
class Shop:
    """A gateway with its own stack, and a client."""

    url: str
    stack: Stack
    app: web.Application
    settings: Settings
    client: aiohttp.ClientSession
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def call(self, method: str, path: str, **arguments: Any) -> Answer:
        async with self.client.request(method, self.url + path, **arguments) as answer:
            text = await answer.text()
            return Answer(answer.status, answer.headers, json.loads(text) if text else None)

    async def order(self, key: str | None = None, **changes: Any) -> Answer:
        body = {"sku": "tv", "customer_id": "c-1", "quantity": 1} | changes
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.call("POST", "/orders", json=body, headers=headers)

    async def post(self, body: bytes, **headers: str) -> Answer:
        sent = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return await self.call("POST", "/orders", data=body, headers=sent)

    async def backlog(self) -> int:
        return (await self.stack.broker.depth(self.stack.topology.orders)).ready

    def drain(self) -> None:
        """Begin to drain."""
        self.tasks.append(
            asyncio.create_task(
                run_drain(
                    self.settings, self.stack, NO_SERVICES, ConsumerMetrics(), asyncio.Event()
                )
            )
        )


async def until(
    ask: Callable[[], Awaitable[Answer]], condition: Callable[[Answer], bool]
) -> Answer:
    async with asyncio.timeout(10):
        while not condition(answer := await ask()):
            await asyncio.sleep(0.02)
        return answer


@asynccontextmanager
async def open_shop(database_url: str, **changes: Any) -> AsyncIterator[Shop]:
    settings = Settings(database_url=database_url, gateway_port=0, shutdown_seconds=0, **changes)
    async with AsyncExitStack() as exits:
        stack = await exits.enter_async_context(open_stack(settings))
        now = time.time()
        for sale in (
            Sale("tv", 5),
            Sale("gone", 0),
            Sale("early", 5, opens_at=now + 3600),
            Sale("late", 5, closes_at=now - 1),
            Sale("one-each", 5, customer_limit=1),
        ):
            await stack.ledger.create_sale(sale)
        app = create_app(settings, stack, SECRET, GatewayMetrics())
        url = await exits.enter_async_context(serving(app))
        client = await exits.enter_async_context(aiohttp.ClientSession())
        shop = Shop(url, stack, app, settings, client)
        try:
            yield shop
        finally:
            for task in shop.tasks:
                task.cancel()
            await asyncio.gather(*shop.tasks, return_exceptions=True)


@pytest.fixture
async def shop(sqlite_url: str) -> AsyncIterator[Shop]:
    async with open_shop(sqlite_url) as opened:
        yield opened


async def test_a_confirmed_order_is_202_with_its_place_in_line(shop: Shop) -> None:
    first, second = await shop.order(), await shop.order()
    assert (first.status, second.status) == (202, 202)
    assert first.body == {
        "order_id": first.body["order_id"],
        "status": "queued",
        "position": 1,
        "eta_seconds": None,  # nobody drains yet, and it does not pretend
    }
    assert second.body["position"] == 2
    assert first.headers["Location"] == f"/orders/{first.body['order_id']}"
    assert first.body["order_id"] != second.body["order_id"]
    assert await shop.backlog() == 2


async def test_an_order_can_be_followed_to_its_end(shop: Shop) -> None:
    orders = [await shop.order(quantity=2) for _ in range(3)]
    paths = [order.headers["Location"] for order in orders]
    waiting = await shop.call("GET", paths[2])
    assert (waiting.body["status"], waiting.body["position"]) == ("queued", 3)
    shop.drain()
    last = await until(
        lambda: shop.call("GET", paths[2]), lambda answer: answer.body["status"] != "queued"
    )
    first = await shop.call("GET", paths[0])
    assert first.body["status"] == "confirmed"
    assert (first.body["sku"], first.body["quantity"]) == ("tv", 2)
    assert (last.body["status"], last.body["reason"]) == ("rejected", "sold_out")
    assert first.headers["Cache-Control"] == "no-store"


async def test_eta_counts_on_the_drain_rate(sqlite_url: str) -> None:
    async with open_shop(sqlite_url, drain_rate=4, drain_batch=1) as shop:
        shop.drain()
        await until(lambda: shop.order(), lambda answer: answer.body["eta_seconds"] is not None)


async def test_the_customer_limit_is_told(shop: Shop) -> None:
    shop.drain()
    orders = [await shop.order(sku="one-each") for _ in range(2)]
    answers = [
        await until(
            lambda path=o.headers["Location"]: shop.call("GET", path),  # type: ignore[misc]
            lambda answer: answer.body["status"] != "queued",
        )
        for o in orders
    ]
    assert [a.body["status"] for a in answers] == ["confirmed", "rejected"]
    assert answers[1].body["reason"] == "customer_limit"


@pytest.mark.parametrize("order_id", ["0" * 32, "x", "0" * 31, "...", "%00", "A" * 32, "é" * 16])
async def test_an_unknown_order_looks_like_any_other(shop: Shop, order_id: str) -> None:
    answer = await shop.call("GET", f"/orders/{order_id}")
    assert (answer.status, answer.problem) == (404, "unknown-order")


# Idempotency-Key


async def test_the_same_key_and_body_is_the_same_order(shop: Shop) -> None:
    answers = [await shop.order(key="k-1") for _ in range(3)]
    assert {a.status for a in answers} == {202}
    assert len({a.body["order_id"] for a in answers}) == 1
    assert await shop.backlog() == 1


async def test_the_same_key_at_the_same_time_is_one_order(shop: Shop) -> None:
    answers = await asyncio.gather(*(shop.order(key="k-1") for _ in range(20)))
    assert len({a.body["order_id"] for a in answers}) == 1
    assert await shop.backlog() == 1


async def test_a_key_quoted_or_bare_is_the_same_key(shop: Shop) -> None:
    bare, quoted = await shop.order(key="k-1"), await shop.order(key='"k-1"')
    assert bare.body["order_id"] == quoted.body["order_id"]


async def test_the_same_key_with_another_body_is_422(shop: Shop) -> None:
    await shop.order(key="k-1")
    answer = await shop.order(key="k-1", quantity=2)
    assert (answer.status, answer.problem) == (422, "key-reused")


async def test_keys_are_remembered_of_no_more_orders_than_their_states(sqlite_url: str) -> None:
    async with open_shop(sqlite_url, status_orders=1_000) as shop:
        await shop.order(key="k-0")
        await asyncio.gather(*(shop.order(key=f"k-{n}") for n in range(1, 1_000)))
        assert (await shop.order(key="k-0", quantity=2)).status == 422
        await shop.order(key="k-1000")
        assert (await shop.order(key="k-0", quantity=2)).status == 202


async def test_the_same_key_of_another_customer_is_another_order(shop: Shop) -> None:
    mine, yours = await shop.order(key="k"), await shop.order(key="k", customer_id="c-2")
    assert mine.body["order_id"] != yours.body["order_id"]


async def test_a_retry_of_an_accepted_order_is_202_though_all_is_sold(shop: Shop) -> None:
    first = await shop.order(key="k-1", quantity=5)
    shop.drain()
    await until(lambda: shop.order(), lambda answer: answer.status == 409)
    again = await shop.order(key="k-1", quantity=5)
    assert (again.status, again.body["order_id"]) == (202, first.body["order_id"])


async def test_a_second_gateway_gives_a_key_the_same_id(shop: Shop, sqlite_url: str) -> None:
    app = create_app(shop.settings, shop.stack, SECRET, GatewayMetrics())
    async with serving(app) as url:
        other = Shop(url, shop.stack, app, shop.settings, shop.client)
        first, second = await shop.order(key="k-1"), await other.order(key="k-1")
    assert first.body["order_id"] == second.body["order_id"]
    shop.drain()
    path = first.headers["Location"]
    await until(lambda: shop.call("GET", path), lambda a: a.body["status"] == "confirmed")
    [tv] = [sale for sale in await shop.stack.ledger.sales() if sale.sku == "tv"]
    assert tv.sold == 1


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "a,b", "k" * 256, '"open', 'mid"dle', '""', "ü", '"a', "a;b"]
)
async def test_a_bad_key_is_400(shop: Shop, key: str) -> None:
    answer = await shop.order(key=key)
    assert (answer.status, answer.problem) == (400, "bad-idempotency-key")
    assert await shop.backlog() == 0


@pytest.mark.parametrize("key", ["k" * 255, '"a b, c"', '"say \\"hi\\" \\\\"', "0", "a=b:c@d"])
async def test_a_good_key_is_taken(shop: Shop, key: str) -> None:
    assert (await shop.order(key=key)).status == 202


async def test_two_keys_are_400(shop: Shop) -> None:
    answer = await shop.call(
        "POST",
        "/orders",
        json={"sku": "tv", "customer_id": "c"},
        headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")],
    )
    assert (answer.status, answer.problem) == (400, "bad-idempotency-key")


# The body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"sku": "tv", "customer_id": "c"',
        b'{"sku": "tv", "customer_id": "c", "quantity": NaN}',
        b'{"sku": "tv", "customer_id": "c", "sku": "tv"}',
        b'{"sku": "tv", "customer_id": "\\udfff"}',
        b'{"sku": "tv", "customer_id": "\xc3"}',
    ],
)
async def test_what_is_not_json_is_400(shop: Shop, body: bytes) -> None:
    answer = await shop.post(body)
    assert (answer.status, answer.problem) == (400, "bad-json")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"[]", [""]),
        (b'{"sku": "tv", "customer_id": "c", "extra": 1}', ["extra"]),
        (b'{"sku": "tv", "customer_id": "c", "quantity": 0}', ["quantity"]),
        (b'{"sku": "tv", "customer_id": "c", "quantity": -1}', ["quantity"]),
        (b'{"sku": "tv", "customer_id": "c", "quantity": 1.5}', ["quantity"]),
        (b'{"sku": "tv", "customer_id": "c", "quantity": "1"}', ["quantity"]),
        (b'{"sku": "tv", "customer_id": "c", "quantity": true}', ["quantity"]),
        (b'{"sku": "tv", "customer_id": "c", "quantity": 1000000000}', ["quantity"]),
        (b'{"sku": "tv", "customer_id": "c\\u0000"}', ["customer_id"]),
        (b'{"sku": "' + b"s" * 10_000 + b'"}', ["sku", "customer_id"]),
    ],
)
async def test_the_wrong_shape_is_422_field_by_field(
    shop: Shop, body: bytes, fields: list[str]
) -> None:
    answer = await shop.post(body)
    assert (answer.status, answer.problem) == (422, "invalid-order")
    assert [error["field"] for error in answer.body["errors"]] == fields
    assert await shop.backlog() == 0


async def test_an_order_in_any_script_is_taken(shop: Shop) -> None:
    assert (await shop.order(customer_id="Ünïcode 顧客 🛒")).status == 202
    assert (await shop.post(b'{"sku":"tv","customer_id":"\\ud83d\\uded2"}')).status == 202


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "application/json; charset=utf-16"]
)
async def test_another_media_type_is_415(shop: Shop, kind: str) -> None:
    answer = await shop.post(b'{"sku": "tv", "customer_id": "c"}', Content_Type=kind)
    assert (answer.status, answer.problem) == (415, "unsupported-media-type")


async def test_no_media_type_is_415(shop: Shop) -> None:
    answer = await raw(shop, b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    assert answer.startswith(b"HTTP/1.1 415")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity"])
async def test_a_content_encoding_is_415(shop: Shop, encoding: str) -> None:
    answer = await raw(
        shop,
        b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Encoding: " + encoding.encode() + b"\r\nContent-Length: 2\r\n\r\n{}",
    )
    assert answer.startswith(b"HTTP/1.1 415")


async def test_charset_utf_8_is_taken(shop: Shop) -> None:
    body = b'{"sku": "tv", "customer_id": "c"}'
    answer = await shop.post(body, Content_Type="application/json; charset=UTF-8")
    assert answer.status == 202


async def test_17_kib_are_413_with_content_length_and_chunked(shop: Shop) -> None:
    body = b'{"sku": "tv", "customer_id": "' + b"c" * 17 * 1024 + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    for data in (body, chunks()):
        answer = await shop.call(
            "POST", "/orders", data=data, headers={"Content-Type": "application/json"}
        )
        assert (answer.status, answer.problem) == (413, "body-too-large")
    assert (await shop.order()).status == 202


async def raw(shop: Shop, request: bytes) -> bytes:
    """Send bytes; the beginning of the answer, b"" if the connection was closed."""
    host, port = shop.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    try:
        async with asyncio.timeout(10):
            return await reader.read(1000)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_body_that_does_not_come_is_408(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BODY_SECONDS", 0.1)
    answer = await raw(
        shop,
        b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b'Content-Length: 40\r\n\r\n{"sku"',
    )
    assert answer.startswith(b"HTTP/1.1 408")
    assert await shop.backlog() == 0


async def test_a_broken_body_costs_nothing(shop: Shop) -> None:
    host, port = shop.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b'Content-Length: 40\r\n\r\n{"sku"'
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    broken_chunk = (
        b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nnot a size\r\n"
    )
    assert (await raw(shop, broken_chunk)).split()[1] == b"400"
    assert await shop.backlog() == 0
    assert (await shop.order()).status == 202


# The sale


async def test_an_unknown_sku_is_404(shop: Shop) -> None:
    answer = await shop.order(sku="radio")
    assert (answer.status, answer.problem) == (404, "unknown-sku")


@pytest.mark.parametrize(
    ("sku", "problem"), [("gone", "sold-out"), ("early", "sale-not-open"), ("late", "sale-closed")]
)
async def test_what_can_not_be_sold_is_409_without_the_broker(
    shop: Shop, sku: str, problem: str
) -> None:
    assert isinstance(shop.stack.broker, EmbeddedBroker)
    await shop.stack.broker.__aexit__(None, None, None)  # nothing could be published now
    answer = await shop.order(sku=sku)
    assert (answer.status, answer.problem) == (409, problem)
    assert "order_id" not in answer.body
    keyed = await shop.order(sku=sku, key="k")
    assert len(keyed.body["order_id"]) == 32  # an earlier attempt elsewhere can be looked up


async def test_a_sale_that_was_just_created_is_found(shop: Shop) -> None:
    await shop.stack.ledger.create_sale(Sale("fresh", 1))
    assert (await shop.order(sku="fresh")).status == 202


async def test_sales_are_listed_and_shown(shop: Shop) -> None:
    await shop.order()
    listed = await shop.call("GET", "/sales")
    assert [(s["sku"], s["state"]) for s in listed.body["sales"]] == [
        ("early", "scheduled"),
        ("gone", "sold_out"),
        ("late", "closed"),
        ("one-each", "open"),
        ("tv", "open"),
    ]
    tv = await until(lambda: shop.call("GET", "/sales/tv"), lambda a: a.body["backlog"] == 1)
    assert tv.body == {
        "sku": "tv",
        "state": "open",
        "stock": 5,
        "sold": 0,
        "remaining": 5,
        "customer_limit": None,
        "opens_at": None,
        "closes_at": None,
        "backlog": 1,
        "backlog_limit": 2000,
        "drain_rate": 2000,
    }
    early = await shop.call("GET", "/sales/early")
    assert early.body["opens_at"].endswith("Z")
    missing = await shop.call("GET", "/sales/radio")
    assert (missing.status, missing.problem) == (404, "unknown-sku")


# The broker


async def test_a_full_queue_is_refused_with_retry_after(sqlite_url: str) -> None:
    async with open_shop(sqlite_url, queue_max_length=3) as shop:
        answers = [await shop.order(key=f"k-{n}") for n in range(5)]
        assert [a.status for a in answers] == [202, 202, 202, 503, 503]
        assert answers[3].problem == "queue-full"
        assert 1 <= int(answers[3].headers["Retry-After"]) <= 30
        shop.drain()
        again = await until(lambda: shop.order(key="k-3"), lambda answer: answer.status == 202)
        assert again.body["status"] == "queued"


async def test_a_refusal_holds_for_a_moment_without_asking_the_broker_again(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    async with open_shop(sqlite_url, queue_max_length=1) as shop:
        publish = shop.stack.broker.publish

        def counted(exchange: str, routing_key: str, body: bytes, **named: Any) -> Any:
            if routing_key == "order":
                asked.append(routing_key)
            return publish(exchange, routing_key, body, **named)

        monkeypatch.setattr(shop.stack.broker, "publish", counted)
        monkeypatch.setattr("gateway.state.backlog._FULL_SECONDS", 60)
        monkeypatch.setattr("gateway.state.backlog._FULL_SHARE", 1_000_000)
        assert (await shop.order()).status == 202
        async with asyncio.timeout(10):
            while not shop.app[BACKLOG].ready:
                await asyncio.sleep(0.01)
        assert (await shop.order()).status == 503
        refused = [await shop.order() for _ in range(5)]
        assert {(a.status, a.problem) for a in refused} == {(503, "queue-full")}
        assert all(int(a.headers["Retry-After"]) >= 1 for a in refused)
        assert len(asked) == 2
        monkeypatch.setattr("gateway.state.backlog._FULL_SECONDS", 0)
        shop.app[BACKLOG].refused()  # the moment is over
        assert (await shop.order()).status == 503
        assert len(asked) == 3


async def test_a_lost_broker_is_503_with_the_order_id_and_a_retry_is_safe(shop: Shop) -> None:
    broker = shop.stack.broker
    await broker.__aexit__(None, None, None)
    answer = await shop.order(key="k")
    assert (answer.status, answer.problem) == (503, "broker-unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    await broker.__aenter__()
    again = await shop.order(key="k")
    assert (again.status, again.body["order_id"]) == (202, answer.body["order_id"])


async def test_no_confirm_in_time_is_503_and_the_twin_request_hears_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(shop.stack.broker, "publish", lambda *_, **__: confirm)
    twins = [asyncio.create_task(shop.order(key="k")) for _ in range(2)]
    await asyncio.sleep(0.05)
    confirm.set_exception(BrokerUnavailable("no confirm in time"))
    answers = await asyncio.gather(*twins)
    assert [a.problem for a in answers] == ["broker-unavailable"] * 2
    assert len({a.body["order_id"] for a in answers}) == 1


# Health, and everything else


async def test_alive_and_ready(shop: Shop) -> None:
    assert (await shop.call("GET", "/healthz")).body == {"status": "alive"}
    assert (await shop.call("GET", "/readyz")).body == {"status": "ready"}


async def test_not_ready_without_a_broker_but_alive(shop: Shop) -> None:
    await shop.stack.broker.__aexit__(None, None, None)
    answer = await shop.call("GET", "/readyz")
    assert (answer.status, answer.problem) == (503, "not-ready")
    assert list(answer.body["checks"]) == ["broker"]
    assert (await shop.call("GET", "/healthz")).status == 200


async def test_not_ready_until_other_gateways_are_heard(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_hear = asyncio.Event()
    subscribe = EmbeddedBroker.subscribe

    @asynccontextmanager
    async def later(broker: EmbeddedBroker, exchange: str) -> AsyncIterator[Deliveries]:
        await may_hear.wait()
        async with subscribe(broker, exchange) as announcements:
            yield announcements

    monkeypatch.setattr(EmbeddedBroker, "subscribe", later)
    async with open_shop(sqlite_url) as shop:
        answer = await shop.call("GET", "/readyz")
        assert (answer.status, list(answer.body["checks"])) == (503, ["announcements"])
        may_hear.set()
        await until(lambda: shop.call("GET", "/readyz"), lambda a: a.status == 200)


async def test_a_gateway_that_stops_says_so_first_and_still_serves(sqlite_url: str) -> None:
    async with open_shop(sqlite_url) as shop:
        stopping = asyncio.create_task(retire(shop.app))
        await asyncio.sleep(0)
        answer = await shop.call("GET", "/readyz")
        assert (answer.status, answer.body["checks"]) == (503, {"process": "shutting down"})
        assert (await shop.order()).status == 202
        await stopping


async def test_wrong_addresses_and_methods_are_problems(shop: Shop) -> None:
    missing = await shop.call("GET", "/nothing")
    assert (missing.status, missing.problem) == (404, "not-found")
    wrong = await shop.call("DELETE", "/orders")
    assert (wrong.status, wrong.problem) == (405, "method-not-allowed")
    assert wrong.headers["Allow"] == "POST"


async def test_a_failure_of_ours_is_a_500_that_tells_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(shop.stack.broker, "publish", fail)
    answer = await shop.order()
    assert (answer.status, answer.problem) == (500, "internal")
    assert "secret" not in json.dumps(answer.body)


async def test_every_outcome_is_counted(shop: Shop) -> None:
    from gateway.context import METRICS

    await shop.order()
    await shop.order(sku="gone")
    await shop.post(b"{")
    metrics = shop.app[METRICS]
    counted = {
        sample.labels["outcome"]: sample.value
        for family in metrics.orders.collect()
        for sample in family.samples
    }
    assert counted == {"accepted": 1, "sold-out": 1, "bad-json": 1}


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page/shop.js", "text/javascript; charset=utf-8"),
        ("/page/shop.css", "text/css; charset=utf-8"),
        ("/page/shop.svg", "image/svg+xml"),
    ],
)
async def test_the_page_is_served_under_a_strict_policy(
    shop: Shop, path: str, content_type: str
) -> None:
    async with shop.client.get(shop.url + path) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        tag = answer.headers["ETag"]
        text = await answer.text()
    # Nothing comes from elsewhere.
    assert "//" not in text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
    async with shop.client.get(shop.url + path, headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    async with shop.client.head(shop.url + path) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert int(answer.headers["Content-Length"]) == len(text.encode())


async def test_a_quiet_stream_is_kept_alive_by_comments(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_KEEP_ALIVE_SECONDS", 0.05)
    task = asyncio.create_task(events.keep_alive(shop.app))
    async with asyncio.timeout(10), shop.client.get(f"{shop.url}/sales/tv/events") as answer:
        assert await answer.content.readuntil(b"\n\n") == b"retry: 2000\n\n"
        assert (await answer.content.readuntil(b"\n\n")).startswith(b"event: sale\ndata: {")
        while not (await answer.content.readuntil(b"\n\n")).startswith(b": "):
            pass
    task.cancel()


async def buy(shop: Shop, *bought: tuple[str, int, float]) -> None:
    """Have customers in the ranking of tv: how much, and since when."""
    from flashsale.domain.order_ids import random_order_id
    from flashsale.ledger import Effects

    wanted = []
    for customer, items, moment in bought:
        event = OrderEvent(random_order_id(), "confirmed", None, "tv", customer, items, 0, moment)
        effects = Effects(event.event_id, event.order_id)
        await add_items(event, effects)
        wanted.append(effects)
    assert await shop.stack.ledger.effects.take_effect("ranking", wanted) == len(wanted)


async def test_the_ranking_tells_who_bought_the_most_and_who_was_first(shop: Shop) -> None:
    empty = await shop.call("GET", "/sales/tv/ranking")
    assert (empty.status, empty.body) == (200, {"sku": "tv", "ranking": []})
    await buy(shop, ("late", 3, 9.0), ("early", 2, 5.0), ("early", 1, 1.0), ("little", 1, 1.0))
    full = await until(
        lambda: shop.call("GET", "/sales/tv/ranking"), lambda answer: bool(answer.body["ranking"])
    )
    assert full.body["ranking"] == [
        {"rank": 1, "customer_id": "early", "items": 3},
        {"rank": 2, "customer_id": "late", "items": 3},
        {"rank": 3, "customer_id": "little", "items": 1},
    ]
    short = await shop.call("GET", "/sales/tv/ranking?limit=1")
    assert [buyer["customer_id"] for buyer in short.body["ranking"]] == ["early"]
    other = await shop.call("GET", "/sales/gone/ranking")
    assert other.body == {"sku": "gone", "ranking": []}


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1e2", "", "1" * 5000])
async def test_a_limit_of_the_ranking_is_a_number_from_1_to_100(shop: Shop, limit: str) -> None:
    answer = await shop.call("GET", "/sales/tv/ranking", params={"limit": limit})
    assert (answer.status, answer.body["type"]) == (400, "/problems/bad-request")


async def test_there_is_no_ranking_of_a_sale_that_is_not(shop: Shop) -> None:
    answer = await shop.call("GET", "/sales/radio/ranking")
    assert (answer.status, answer.body["type"]) == (404, "/problems/unknown-sku")


async def test_however_many_ask_for_a_ranking_the_database_is_asked_once_a_second(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
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
        answers = (shop.call("GET", "/sales/tv/ranking") for _ in range(20))
        assert {answer.status for answer in await asyncio.gather(*answers)} == {200}
    assert asked <= 1 + (time.monotonic() - started)


async def test_no_request_however_hostile_makes_a_series_of_its_own(shop: Shop) -> None:
    registry = shop.app[METRICS].registry

    async def be_hostile(number: int) -> None:
        await shop.order(sku=f"sku-{number}", customer_id=f"c-{number}")
        await shop.order(key=f"key-{number}")
        for path in (f"/orders/{number:032x}", f"/sales/sku-{number}", f"/{number}/../%2e{number}"):
            await shop.call("GET", path)
        await shop.call("PROPFIND", f"/{number}")
        await shop.call("PUT", f"/orders/{number}")

    def series() -> set[str]:
        lines = generate_latest(registry).decode().splitlines()
        return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}

    await be_hostile(0)
    before = series()
    for number in range(1, 20):
        await be_hostile(number)
    assert series() == before
    assert not any("c-0" in line or "sku-0" in line or "PROPFIND" in line for line in before)
    assert 'method="other",route="none",status="404"' in str(before)


ADMIN = {"admin_token": SecretStr("let me in, please")}


async def test_without_a_token_there_is_no_operators_page(shop: Shop) -> None:
    for path in ("/ops", "/ops/samples", "/ops/ops.js"):
        answer = await shop.call("GET", path)
        assert (answer.status, answer.body["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic", "Basic ?", "Basic YWRtaW46", "Bearer let me", "Bearer \xff", "Digest x"],
)
async def test_who_does_not_know_the_token_is_turned_away(
    sqlite_url: str, authorization: str
) -> None:
    async with open_shop(sqlite_url, **ADMIN) as shop:
        headers = {"Authorization": authorization}
        for path in ("/ops", "/ops/samples", "/ops/uplot.js"):
            answer = await shop.call("GET", path, headers=headers)
            assert (answer.status, answer.body["type"]) == (401, "/problems/unauthorized")
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")


async def test_the_operator_gets_the_sale_second_by_second(sqlite_url: str) -> None:
    async with open_shop(sqlite_url, **ADMIN, queue_max_length=3) as shop:
        headers = {"Authorization": "Bearer let me in, please"}

        async def samples(after: int = 0) -> Answer:
            return await shop.call("GET", f"/ops/samples?after={after}", headers=headers)

        for _ in range(5):
            await shop.order()  # three are accepted, then the queue is full
        await shop.order(sku="gone")

        def seen(answer: Answer) -> list[int]:
            rows = [dict(zip(answer.body["fields"], row, strict=True)) for row in found(answer)]
            names = ("arrived", "accepted", "queue_full", "turned_away")
            return [sum(row[name] for row in rows) for name in names]

        def found(answer: Answer) -> list[list[int]]:
            rows: list[list[int]] = answer.body["samples"]
            return rows

        def latest(answer: Answer) -> dict[str, int]:
            return dict(zip(answer.body["fields"], found(answer)[-1], strict=True))

        await until(samples, lambda answer: seen(answer) == [6, 3, 2, 1])
        # The queue is counted ten times a second: the next second shows it at the latest.
        answer = await until(samples, lambda answer: latest(answer)["backlog"] == 3)
        assert (answer.body["backlog_limit"], answer.body["drain_limit"]) == (3, 2000)
        last = latest(answer)
        assert (last["stock_left"], last["decided"]) == (20, 0)
        assert all(row[0] > last["at"] for row in found(await samples(last["at"])))
        bad = await shop.call("GET", "/ops/samples?after=x", headers=headers)
        assert bad.status == 400
        shop.drain()
        decided = answer.body["fields"].index("decided")
        await until(samples, lambda answer: sum(row[decided] for row in found(answer)) == 3)
