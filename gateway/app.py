"""The gateway: the application, and how it is served."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import structlog
from aiohttp import web

from flashsale.observability.broker_metrics import BrokerCollector
from flashsale.observability.gateway_metrics import GatewayMetrics, SalesCollector
from flashsale.observability.monitoring import monitored
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import (
    Stack,
    installed_ranking,
    open_stack,
    require_shared_broker,
)
from gateway.context import (
    BACKLOG,
    BROKER,
    CATALOGUE,
    DESK,
    HEARING,
    LIFECYCLE,
    LINE,
    LISTING,
    LOOKUP,
    MEMORY,
    METRICS,
    RANKINGS,
    SAMPLES,
    SETTINGS,
    STREAMS,
)
from gateway.http.problems import problems
from gateway.http.sse import Streams
from gateway.http.tracing import TracedPublisher, traced
from gateway.intake.accept_order import Desk
from gateway.intake.order_request import MAX_BODY_BYTES
from gateway.pages import add_pages
from gateway.routes.health import healthz, readyz
from gateway.routes.ops import add_ops
from gateway.routes.order_status import get_order
from gateway.routes.orders import post_order
from gateway.routes.sales import get_ranking, get_sale, get_sales
from gateway.routes.streams import (
    get_order_events,
    get_sale_events,
    keep_alive,
    tell_orders,
    tell_sales,
)
from gateway.server.acceptor import listening
from gateway.server.lifecycle import Lifecycle
from gateway.server.supervisor import run_workers
from gateway.state.announcements import Hearing
from gateway.state.arrivals import Traffic
from gateway.state.backlog import SAMPLE_SECONDS, Backlog
from gateway.state.ledger_lookup import Lookup
from gateway.state.ops_samples import Samples
from gateway.state.orders import Memory
from gateway.state.queue_position import Line
from gateway.state.rankings import Rankings
from gateway.state.sales import Catalogue
from gateway.state.sales_listing import Listing

log = structlog.get_logger()

METRICS_PORT = 9090
_KEEP_ALIVE_SECONDS = 75
_LAST_ANSWERS_SECONDS = 10


def create_app(
    settings: Settings, stack: Stack, secret: bytes, metrics: GatewayMetrics
) -> web.Application:
    """The gateway on an open stack; `secret` makes the ids of keyed orders."""
    metrics.registry.register(BrokerCollector(stack.broker))
    app = web.Application(middlewares=[problems(metrics.requests)], client_max_size=MAX_BODY_BYTES)
    if stack.tracing is not None:
        app.middlewares.insert(0, traced(stack.tracing))
    app[SETTINGS] = settings
    app[METRICS] = metrics
    app[LIFECYCLE] = Lifecycle()
    app[BROKER] = stack.broker
    app[CATALOGUE] = catalogue = Catalogue(stack.ledger)
    metrics.registry.register(SalesCollector(catalogue))
    app[LISTING] = Listing()
    app[LINE] = Line(settings.drain_rate)
    app[BACKLOG] = Backlog(stack.broker, stack.topology.orders, app[LINE])
    app[MEMORY] = Memory(app[LINE], settings.status_orders, settings.status_seconds)
    app[LOOKUP] = Lookup(stack.ledger, settings.status_queries, metrics)
    app[RANKINGS] = Rankings(stack.ledger, installed_ranking())
    app[STREAMS] = Streams(settings.streams, metrics)
    traffic = Traffic()
    app[HEARING] = Hearing(
        stack.broker,
        stack.topology.outcomes,
        app[MEMORY],
        app[LINE],
        app[CATALOGUE],
        app[LOOKUP],
        traffic,
    )
    app[DESK] = Desk(
        stack.broker if stack.tracing is None else TracedPublisher(stack.broker, stack.tracing),
        stack.topology.orders,
        app[CATALOGUE],
        app[BACKLOG],
        app[MEMORY],
        app[HEARING],
        secret,
        settings.status_orders,
    )
    app[SAMPLES] = Samples(metrics.requests, traffic, app[BACKLOG], app[HEARING], app[CATALOGUE])
    app.router.add_post("/orders", post_order)
    app.router.add_get("/orders/{order_id}", get_order)
    app.router.add_get("/orders/{order_id}/events", get_order_events, allow_head=False)
    app.router.add_get("/sales", get_sales)
    app.router.add_get("/sales/{sku}", get_sale)
    app.router.add_get("/sales/{sku}/ranking", get_ranking)
    app.router.add_get("/sales/{sku}/events", get_sale_events, allow_head=False)
    add_pages(app)
    add_ops(app)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.cleanup_ctx.append(_follow)
    return app


async def _follow(app: web.Application) -> AsyncIterator[None]:
    """Keep what the gateway knows and tells fresh while the application runs."""
    await app[CATALOGUE].read()
    await app[BACKLOG].count()
    hearing = app[HEARING]
    followed = {
        "catalogue": app[CATALOGUE].follow(),
        "backlog": app[BACKLOG].follow(),
        "lookup": app[LOOKUP].run(),
        "hearing": hearing.follow(),
        "sweep": hearing.sweep(),
        "announcements": hearing.announce(),
        "order events": tell_orders(app),
        "sale events": tell_sales(app),
        "keep-alive": keep_alive(app),
        "gauges": _gauge(app),
        "samples": app[SAMPLES].follow(),
    }
    tasks = [asyncio.create_task(task, name=name) for name, task in followed.items()]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _gauge(app: web.Application) -> None:
    metrics = app[METRICS]
    metrics.backlog_limit.set(app[SETTINGS].queue_max_length)
    while True:
        metrics.backlog.set(app[BACKLOG].ready)
        metrics.remembered.set(len(app[MEMORY]))
        await asyncio.sleep(SAMPLE_SECONDS)


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Serve the application; its URL. At the end accepted requests still get their answer.

    Raises `OSError` if the port is taken.
    """
    settings = app[SETTINGS]
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        auto_decompress=False,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        shutdown_timeout=_LAST_ANSWERS_SECONDS,
    )
    await runner.setup()
    try:
        with listening(
            settings.gateway_host,
            settings.gateway_port,
            cast("web.Server", runner.server),  # there since the setup
            reuse_port=settings.gateway_workers > 1,
        ) as (host, port):
            url = f"http://{host}:{port}"
            log.info("gateway listens", url=url)
            yield url
    finally:
        await runner.cleanup()


async def retire(app: web.Application) -> None:
    """Tell the balancer to turn away, and serve on for as long as that takes."""
    app[LIFECYCLE].stop()
    log.info("gateway stops", seconds=app[SETTINGS].shutdown_seconds)
    await asyncio.sleep(app[SETTINGS].shutdown_seconds)


async def gateway_secret(settings: Settings, stack: Stack) -> bytes:
    """The secret of the order ids: the setting's, else the one that the database keeps."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    return await stack.ledger.secret()


async def serve_gateway(
    settings: Settings,
    metrics: GatewayMetrics,
    stop: asyncio.Event,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve on a stack of its own until `stop`. Raises what `open_stack` raises, and `OSError`."""
    async with open_stack(settings, "gateway") as stack:
        app = create_app(settings, stack, await gateway_secret(settings, stack), metrics)
        async with serving(app):
            on_ready()
            await stop.wait()
            await retire(app)


async def run_gateway(settings: Settings, stop: asyncio.Event) -> None:
    """Run a gateway until `stop`, in one process or in as many as it should have.

    Raises what `open_stack` raises, and `OSError`.
    """
    require_shared_broker(settings, "gateway")
    port = METRICS_PORT if settings.metrics_port is None else settings.metrics_port
    if settings.gateway_workers > 1:
        await run_workers(settings, port, stop)
        return
    metrics = GatewayMetrics()
    async with monitored(metrics.registry, settings.metrics_host, port):
        await serve_gateway(settings, metrics, stop)
