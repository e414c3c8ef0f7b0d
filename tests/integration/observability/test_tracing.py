"""An order's spans, from its request to the last service, as a collector gets them."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from consumer.app import run_drain
from flashsale.broker import Topology
from flashsale.broker.dead_letters import peek, replay
from flashsale.domain.sales import Sale
from flashsale.ledger import Ledger, open_ledger
from flashsale.messages.events import OrderEvent, encode_event
from flashsale.observability.consumer_metrics import ConsumerMetrics
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import Stack, open_stack
from gateway.app import create_app, serving
from loadtest.processes import get, own_environment
from loadtest.servers import free_port
from services import Effects, GiveUp
from tests.conftest import unique
from tests.database import event_ids
from tests.integration.observability.collector import Collector, collecting
from tests.integration.services.bench import Bench, a_service, an_event, do
from tests.integration.shop import Shop
from tests.processes import process

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{CALLER}-01"
SERVICES = ("loyalty", "mail", "ranking", "webhook")


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """A collector that this process and those it starts send to, and often."""
    async with collecting() as opened:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", opened.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield opened


@pytest.fixture(params=["embedded", "real"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which broker and database."""
    return str(request.param)


def settings_of(request: pytest.FixtureRequest, kind: str, **changes: Any) -> Settings:
    usual = {"gateway_port": 0, "shutdown_seconds": 0}
    if kind == "embedded":
        url = request.getfixturevalue("sqlite_url")
        return Settings(database_url=url, **(usual | changes))
    return Settings(
        broker_url=request.getfixturevalue("rabbit_url"),
        broker_prefix=f"{unique('o')}.",
        database_url=request.getfixturevalue("postgres_url"),
        **(usual | changes),
    )


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[tuple[str, Stack]]:
    """A gateway in this process, whose orders nobody drains; its URL."""
    async with open_ledger(settings.database_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 5))
    async with AsyncExitStack() as exits:
        stack = await exits.enter_async_context(open_stack(settings, "gateway"))
        app = create_app(settings, stack, b"a secret of the tests", GatewayMetrics())
        yield await exits.enter_async_context(serving(app)), stack


async def order(url: str, *traceparents: str, customer: str = "c-1") -> str:
    """Order one; its id."""
    headers = [("traceparent", each) for each in traceparents]
    body = {"sku": "tv", "customer_id": customer}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{url}/orders", json=body, headers=headers) as answer,
    ):
        assert answer.status == 202, await answer.text()
        return str((await answer.json())["order_id"])


def alone(sqlite_url: str) -> tuple[str, dict[str, str]]:
    """The URL and the settings of a `flashsale run` with tracing."""
    port = free_port()
    return f"http://127.0.0.1:{port}", {
        "FLASHSALE_TRACING": "true",
        "FLASHSALE_DATABASE_URL": sqlite_url,
        "FLASHSALE_GATEWAY_PORT": str(port),
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
    }


async def decided(ledger: Ledger, count: int) -> None:
    async with asyncio.timeout(60):
        while len(await ledger.outcomes("tv")) < count:
            await asyncio.sleep(0.02)


async def headers_of_the_first(stack: Stack) -> dict[str, str | int]:
    async with stack.broker.consume(stack.topology.orders, 1) as deliveries:
        async with asyncio.timeout(60):
            await deliveries.wait()
        return dict(deliveries.take(1)[0].headers)


async def test_an_order_is_one_trace_through_every_process(
    shop: Shop, collector: Collector
) -> None:
    shop.environment["FLASHSALE_TRACING"] = "true"
    customer, key = unique("customer"), unique("idempotency")
    with shop.start("gateway") as gateway, shop.start("consumer"), shop.start("services"):
        shop.ready(gateway)
        headers = {"Idempotency-Key": key, "traceparent": SAMPLED, "tracestate": "a=b"}
        body = {"sku": "tv", "customer_id": customer}
        async with shop.client.post(f"{shop.url}/orders", json=body, headers=headers) as answer:
            assert answer.status == 202
            order_id = (await answer.json())["order_id"]
        await collector.until(lambda: len(collector.spans) >= 8)
    assert len(collector.spans) == 8, "and no more came as the processes ended"

    prefix = shop.environment["FLASHSALE_BROKER_PREFIX"]
    orders = f"{prefix}sale.orders"
    [request] = collector.named("POST /orders")
    [publish] = collector.named(f"publish {orders}")
    [decide] = collector.named(f"decide {orders}")
    [batch] = collector.named(f"sell {orders}")
    handled = [*(collector.named(f"handle {prefix}{name}")[0] for name in SERVICES)]

    assert (request.trace_id, request.parent_id) == (TRACE, CALLER)
    assert (publish.trace_id, publish.parent_id) == request.context
    assert (decide.trace_id, decide.parent_id) == publish.context
    for span in handled:
        assert (span.trace_id, span.parent_id) == decide.context
    assert batch.parent_id == ""
    assert batch.trace_id != TRACE
    assert batch.links == frozenset({publish.context})
    assert decide.links == frozenset({batch.context})

    assert [span.kind for span in (request, publish, decide, batch, *handled)] == [
        *("server", "producer", "consumer", "consumer"),
        *("consumer", "consumer", "consumer", "consumer"),
    ]
    assert [span.service for span in (request, decide, handled[0])] == [
        *("flashsale-gateway", "flashsale-consumer", "flashsale-services"),
    ]
    assert request.start <= publish.start <= publish.end <= request.end
    assert publish.start <= decide.start <= decide.end
    assert all(decide.end <= span.start for span in handled)

    assert request.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 202,
        "http.route": "/orders",
        "url.path": "/orders",
        "url.scheme": "http",
    }
    assert {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": f"{orders}:order",
        "messaging.rabbitmq.destination.routing_key": "order",
    }.items() <= publish.attributes.items()
    assert decide.attributes["flashsale.order.status"] == "confirmed"
    assert batch.attributes["messaging.batch.message_count"] == 1
    for span in (publish, decide):
        assert span.attributes["messaging.message.id"] == order_id
    event_id = (await event_ids(shop.database_url))[order_id]
    for span in handled:
        assert span.attributes["messaging.message.id"] == event_id
        assert span.attributes["flashsale.order.id"] == order_id
    sent = b"".join(collector.bodies)
    assert customer.encode() not in sent
    assert key.encode() not in sent
    assert not any(span.failed for span in collector.spans)


async def test_run_sends_its_last_spans_as_it_ends(
    collector: Collector, sqlite_url: str, tmp_path: Path
) -> None:
    url, environment = alone(sqlite_url)
    environment |= {"OTEL_BSP_SCHEDULE_DELAY": "3600000", "OTEL_SERVICE_NAME": "the-shop"}
    with process(["flashsale", "run"], tmp_path / "log", environment) as running:
        await asyncio.to_thread(running.await_url, f"{url}/readyz")
        async with open_ledger(sqlite_url) as ledger:
            await ledger.create_sale(Sale("tv", 1))
            for _ in range(2):
                await order(url)
            await decided(ledger, 2)
        assert collector.spans == []
        assert await asyncio.to_thread(running.stop) == 0
    traces = {span.trace_id for span in collector.named("POST /orders")}
    assert len(traces) == 2
    decisions = collector.named("decide sale.orders")
    assert {span.trace_id for span in decisions} == traces
    assert {span.attributes.get("flashsale.order.reason") for span in decisions} == {
        None,
        "sold_out",
    }
    assert {span.service for span in collector.spans} == {"the-shop"}
    assert {span.attributes.get("messaging.system") for span in collector.spans} == {None, "memory"}


@pytest.mark.parametrize(
    "traceparents",
    [
        ["nonsense"],
        [f"00-{TRACE}-{CALLER}"],
        [f"00-{'0' * 32}-{CALLER}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"00-{TRACE.upper()}-{CALLER}-01"],
        [f"ff-{TRACE}-{CALLER}-01"],
        [SAMPLED + "x" * 1000],
        [SAMPLED, SAMPLED],
    ],
)
async def test_a_traceparent_that_is_none_is_ignored(
    request: pytest.FixtureRequest, collector: Collector, traceparents: list[str]
) -> None:
    async with gateway(settings_of(request, "embedded", tracing=True)) as (url, _):
        await order(url, *traceparents)
        await collector.until(lambda: len(collector.spans) == 2)
    [span] = collector.named("POST /orders")
    assert span.parent_id == ""
    assert span.trace_id != TRACE


async def test_a_trace_that_is_not_sampled_costs_the_broker_nothing(
    request: pytest.FixtureRequest, collector: Collector
) -> None:
    async with gateway(settings_of(request, "embedded", tracing=True)) as (url, stack):
        await order(url, f"00-{TRACE}-{CALLER}-00")
        assert await headers_of_the_first(stack) == {}
    assert collector.spans == []


async def test_a_refusal_is_told_by_its_status_and_the_kind_of_error(
    request: pytest.FixtureRequest, collector: Collector, kind: str
) -> None:
    # The limit of a quorum queue is not exact.
    settings = settings_of(request, kind, tracing=True, queue_max_length=1, queue_type="classic")
    async with gateway(settings) as (url, stack), aiohttp.ClientSession() as client:
        await order(url)
        for body in ({"sku": "tv", "customer_id": "c-2"}, {"sku": "no", "customer_id": "c-3"}):
            await client.post(f"{url}/orders", json=body)
        await client.get(f"{url}/sales")
        await collector.until(lambda: len(collector.spans) == 5)
        queue = stack.topology.orders
    requests = collector.named("POST /orders")
    by_status = {span.attributes["http.response.status_code"]: span for span in requests}
    assert set(by_status) == {202, 503, 404}
    assert by_status[503].failed
    assert by_status[503].attributes["error.type"] == "503"
    assert not by_status[404].failed, "a client's mistake is no failure of the server"
    publishes = collector.named(f"publish {queue}")
    assert {span.attributes.get("error.type") for span in publishes} == {None, "QueueFull"}


async def test_tracing_off_adds_no_header_to_a_message(
    request: pytest.FixtureRequest, kind: str
) -> None:
    async with gateway(settings_of(request, kind)) as (url, stack):
        assert stack.tracing is None
        await order(url, SAMPLED)
        assert await headers_of_the_first(stack) == {}


def test_tracing_off_does_not_import_opentelemetry(sqlite_url: str) -> None:
    program = """
import asyncio, sys
import consumer.app, gateway.app, services.app, services.installed, flashsale.cli.main
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.runtime.settings import load_settings
from flashsale.runtime.stack import open_stack

async def main():
    settings = load_settings()
    async with open_stack(settings) as stack:
        gateway.app.create_app(settings, stack, b"secret", GatewayMetrics())
    services.installed.installed_services()

asyncio.run(main())
spans = ("opentelemetry", "flashsale.observability.spans")
print([name for name in sys.modules if name.startswith(spans)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=own_environment() | {"FLASHSALE_DATABASE_URL": sqlite_url},
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_tracing_without_its_extra_is_one_line_that_says_what_to_install(sqlite_url: str) -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None; import flashsale.cli.main as c; c.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "run"],
        capture_output=True,
        text=True,
        env=own_environment()
        | {
            "FLASHSALE_TRACING": "true",
            "FLASHSALE_DATABASE_URL": sqlite_url,
            "FLASHSALE_METRICS_PORT": "0",
        },
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("flashsale: FLASHSALE_TRACING=true: ")
    assert "pip install flashsale-gateway[tracing]" in line


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take spans, and never answer."""
    while await reader.read(65_536):
        pass
    writer.close()


@pytest.mark.parametrize("dead", ["gone", "hanging"])
async def test_a_dead_collector_neither_stops_a_sale_nor_fills_the_log(
    dead: str, sqlite_url: str, tmp_path: Path
) -> None:
    port = free_port()
    url, environment = alone(sqlite_url)
    environment |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    hanging = await asyncio.start_server(hang, "127.0.0.1", port) if dead == "hanging" else None
    with process(["flashsale", "run"], tmp_path / "log", environment) as running:
        await asyncio.to_thread(running.await_url, f"{url}/readyz")
        async with open_ledger(sqlite_url) as ledger:
            await ledger.create_sale(Sale("tv", 1000))
            for _ in range(50):
                await order(url)
            async with asyncio.timeout(60):
                while "spans are lost" not in running.output:
                    await asyncio.sleep(0.02)
            for _ in range(50):
                await order(url)
            await decided(ledger, 100)
        assert get(f"{url}/readyz") is not None
        stopping = time.monotonic()
        assert await asyncio.to_thread(running.stop) == 0
        assert time.monotonic() - stopping < 8
        assert running.output.count("spans are lost") == 1
        for word in ("Traceback", "opentelemetry", "Transient", "Failed to export"):
            assert word not in running.output
    if hanging is not None:
        hanging.close()
        await hanging.wait_closed()


async def test_every_try_of_a_service_is_part_of_the_order_s_trace(
    request: pytest.FixtureRequest, collector: Collector, kind: str
) -> None:
    errors: list[Exception] = [ValueError("for c-1"), GiveUp("c-1 is gone")]

    async def handle(event: OrderEvent, effects: Effects) -> None:
        if errors:
            raise errors.pop(0)
        await do(event, effects)

    settings = settings_of(request, kind, tracing=True)
    event, untraced, service = an_event(), an_event(), a_service(handle)
    async with open_ledger(settings.database_url) as ledger:
        await ledger.migrate()
    async with open_stack(settings, "services") as stack:
        bench = Bench(settings, stack)
        async with bench.running(service):
            await stack.broker.publish(
                stack.topology.events,
                event.topic,
                encode_event(event),
                message_id=event.event_id,
                headers={"traceparent": SAMPLED},
            )
            [letter] = await bench.dead(service, 1)
            assert letter.headers["traceparent"] == SAMPLED
            await replay(stack.broker, bench.dead_queue(service), None)
            await bench.publish(untraced)
            await bench.done(event, untraced)
            await collector.until(lambda: len(collector.spans) >= 3)
    assert {(span.trace_id, span.parent_id) for span in collector.spans} == {(TRACE, CALLER)}
    tries = [span.attributes.get("error.type") for span in collector.spans]
    assert tries == ["ValueError", "GiveUp", None]
    assert b"c-1" not in b"".join(collector.bodies)


async def test_a_dead_order_keeps_its_trace(
    request: pytest.FixtureRequest, collector: Collector, kind: str
) -> None:
    settings = settings_of(request, kind, tracing=True)
    async with open_ledger(settings.database_url) as ledger:
        await ledger.migrate()
    stop = asyncio.Event()
    async with open_stack(settings, "consumer") as stack:
        orders, dead = stack.topology.orders, stack.topology.dead_orders
        await stack.broker.publish(
            orders, "order", b"no order", message_id="x", headers={"traceparent": SAMPLED}
        )
        draining = asyncio.create_task(
            run_drain(settings, stack, Topology((), (), ()), ConsumerMetrics(), stop)
        )
        async with asyncio.timeout(60):
            while not (await stack.broker.depth(dead)).ready:
                await asyncio.sleep(0.02)
        stop.set()
        await draining
        [letters] = stack.topology.dead_queues
        assert (await peek(stack.broker, letters))[0].headers["traceparent"] == SAMPLED
        await replay(stack.broker, letters, None)
        assert (await headers_of_the_first(stack))["traceparent"] == SAMPLED
    assert collector.spans == [], "there was no order to tell of"
