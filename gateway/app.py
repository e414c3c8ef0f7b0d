"""The gateway: build the application, run its background tasks, and serve it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import structlog
from aiohttp import web

from flashsale.broker import BrokerUnavailable, Publisher
from flashsale.observability.broker_metrics import BrokerCollector
from flashsale.observability.gateway_metrics import (
    ClockSkewCollector,
    GatewayMetrics,
    SalesCollector,
)
from flashsale.observability.monitoring import monitored
from flashsale.runtime.addresses import parse_networks, parse_origins
from flashsale.runtime.background import Background, cancelled
from flashsale.runtime.dead_letters import DeadLetters
from flashsale.runtime.setting_groups.webhooks import WebhookSettings
from flashsale.runtime.settings import Settings
from flashsale.runtime.settings_reader import load
from flashsale.runtime.stack import (
    Stack,
    dead_letter_topology,
    installed_ranking,
    open_stack,
    require_shared_broker,
)
from gateway.context import CONTEXT, Context
from gateway.gauges import follow_gauges
from gateway.holds import create_holds
from gateway.http.cors import Cors, cross_origin
from gateway.http.json_body import MAX_BODY_BYTES
from gateway.http.problems import problems
from gateway.http.public_path import PublicPath, redirect
from gateway.http.sse import EventStreams
from gateway.http.tracing import TracedPublisher, traced
from gateway.identity import create_identity, identified
from gateway.intake.accept_order import IntakeParts, OrderIntake
from gateway.intake.earlier_attempts import EarlierAttempts
from gateway.intake.full_queue import FullQueue
from gateway.intake.queue_room import QueueRoom
from gateway.intake.retry_after import RetryAfter
from gateway.limits.client_limits import create_client_limits
from gateway.limits.limited import limited
from gateway.operators.control_changes import ControlChanges
from gateway.routes import add_routes
from gateway.routes.order_events import tell_progress
from gateway.routes.sale_events import tell_sales
from gateway.routes.streams import keep_alive
from gateway.server.lifecycle import Lifecycle
from gateway.server.serving import retire as retire
from gateway.server.serving import serving as serving
from gateway.server.supervisor import run_workers
from gateway.server.tls import server_tls
from gateway.state.announcements import AnnouncedState, Announcements
from gateway.state.arrivals import ArrivalsBySecond, OtherGateways
from gateway.state.backlog import Backlog
from gateway.state.drain.known_controls import KnownControls
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.ledger_lookup import LedgerLookup
from gateway.state.missing_orders import MissingOrders
from gateway.state.ops_samples import OpsSamples, SampleSources
from gateway.state.orders import KnownOrders
from gateway.state.queue_position import QueuePosition
from gateway.state.rankings import Rankings
from gateway.state.sales import KnownSales
from gateway.state.sales_listing import SalesListing
from gateway.state.stream_changes import StreamChanges

log = structlog.get_logger()

METRICS_PORT = 9090


def create_app(
    settings: Settings, stack: Stack, secret: bytes, metrics: GatewayMetrics
) -> web.Application:
    """Build the gateway on an open stack; `secret` makes the ids of keyed orders."""
    app = web.Application(middlewares=[problems(metrics.requests)], client_max_size=MAX_BODY_BYTES)
    context = app[CONTEXT] = create_context(settings, stack, secret, metrics)
    if context.cors:
        app.middlewares.insert(0, cross_origin(context.cors))
    if stack.tracing is not None:
        app.middlewares.insert(0, traced(stack.tracing))
    callers = context.identity.callers if context.identity else None
    if context.client_limits is not None:
        app.middlewares.append(limited(context.client_limits, metrics, callers))
    elif callers is not None:
        app.middlewares.append(identified(callers))
    add_routes(app)
    if settings.public_path:
        app.add_routes([redirect(settings.public_path)])
    app.cleanup_ctx.append(_follow)
    return app


def create_context(
    settings: Settings, stack: Stack, secret: bytes, metrics: GatewayMetrics
) -> Context:
    """Build the parts of a gateway, each from those before it."""
    changes = StreamChanges()
    drain = KnownDrain(settings.drain_rate)
    controls = KnownControls(stack.ledger.controls, stack.topology.orders, drain, changes)
    queue_position = QueuePosition(drain)
    backlog = Backlog(stack.broker, stack.topology.orders, queue_position, changes)
    orders = KnownOrders(queue_position, settings.status_orders, settings.status_seconds)
    sales = KnownSales(stack.ledger, changes, drain.now)
    arrivals = ArrivalsBySecond()
    other_gateways = OtherGateways()
    client_limits = create_client_limits(settings)
    ledger_lookup = LedgerLookup(stack.ledger, settings.status_queries, metrics)
    announcements = Announcements(
        stack.broker,
        stack.topology.outcomes,
        AnnouncedState(
            *(orders, sales, backlog, drain, controls, arrivals, other_gateways, changes),
            client_limits,
        ),
        lookup=ledger_lookup,
        metrics=metrics,
    )
    publisher: Publisher = stack.broker
    refuses_late = stack.broker.refuses_late(stack.topology.orders)
    if refuses_late:
        publisher = QueueRoom(stack.broker, settings.queue_max_length, backlog, other_gateways)
    if stack.tracing is not None:
        publisher = TracedPublisher(publisher, stack.tracing)
    intake = OrderIntake(
        IntakeParts(
            publisher=publisher,
            exchange=stack.topology.orders,
            sales=sales,
            controls=controls,
            orders=orders,
            earlier_attempts=EarlierAttempts(
                orders,
                sales,
                queue_position,
                ledger_lookup,
                queries=settings.status_queries,
                seconds=settings.status_seconds,
            ),
            announcements=announcements,
            full_queue=FullQueue(announcements, other_gateways, refuses_late=refuses_late),
            retry_after=RetryAfter(backlog, drain),
            clock=drain.now,
            owners=settings.checks_tokens,
        ),
        secret=secret,
    )
    metrics.registry.register(BrokerCollector(stack.broker))
    metrics.registry.register(SalesCollector(sales))
    metrics.registry.register(
        ClockSkewCollector(lambda: drain.clock_skew.seconds(time.monotonic()))
    )
    return Context(
        settings=settings,
        metrics=metrics,
        broker=stack.broker,
        background=stack.background,
        lifecycle=Lifecycle(),
        cors=Cors(parse_origins(settings.cors_origins)),
        public_path=PublicPath(settings.public_path, parse_networks(settings.trusted_proxies)),
        identity=create_identity(settings),
        client_limits=client_limits,
        drain=drain,
        controls=controls,
        queue_position=queue_position,
        backlog=backlog,
        orders=orders,
        missing_orders=MissingOrders(
            orders,
            backlog,
            ledger_lookup,
            metrics,
            broker=stack.broker,
            spilled=stack.topology.spilled_orders,
        ),
        sales=sales,
        sales_listing=SalesListing(),
        rankings=Rankings(stack.ledger, installed_ranking()),
        ops_samples=OpsSamples(
            SampleSources(metrics.requests, arrivals, backlog, announcements, sales, drain)
        ),
        ledger_lookup=ledger_lookup,
        control_changes=ControlChanges(
            stack.ledger.controls, stack.topology.orders, controls, announcements
        ),
        audit_log=stack.ledger.audit_log,
        dead_letters=DeadLetters(
            stack.broker,
            stack.ledger.audit_log,
            dead_letter_topology(settings)
            if settings.admin_token or settings.viewer_token
            else stack.topology,
        ),
        managed_sales=stack.ledger,
        order_pages=stack.ledger,
        webhooks=stack.ledger.webhooks,
        private_webhooks=load(WebhookSettings).webhook_allow_private,
        announcements=announcements,
        intake=intake,
        holds=create_holds(settings, stack.ledger, (orders, sales, drain), announcements, metrics),
        streams=EventStreams(settings.streams, metrics),
        changes=changes,
    )


async def _follow(app: web.Application) -> AsyncIterator[None]:
    """Keep the gateway's state and its streams up to date while the application runs."""
    context = app[CONTEXT]
    await context.sales.read()
    await context.controls.read()
    key_set = context.identity.key_set if context.identity else None
    if key_set:
        await key_set.read()
    try:
        await context.backlog.recount()
    except BrokerUnavailable as error:
        # The queue may be replaced at this moment. It is counted again once announcements come.
        log.info("backlog not counted", reason=str(error))
    followed = {
        "sales": context.sales.follow,
        "controls": context.controls.follow,
        "backlog": context.backlog.follow,
        "ledger lookup": context.ledger_lookup.run,
        "announcements heard": context.announcements.follow,
        "overdue orders": context.announcements.sweep,
        "missing orders": context.missing_orders.follow,
        "announcements told": context.announcements.announce,
        "payments": context.holds.payments.run,
        "streams of orders in line": context.changes.lines.follow,
        "order streams": lambda: tell_progress(context),
        "sale streams": lambda: tell_sales(context),
        "stream keep-alive": lambda: keep_alive(context),
        "gauges": lambda: follow_gauges(context),
        "ops samples": context.ops_samples.follow,
    }
    if key_set:
        followed["keys of tokens"] = key_set.follow
    tasks = [context.background.start(name, work) for name, work in followed.items()]
    yield
    await cancelled(*tasks)


async def gateway_secret(settings: Settings, stack: Stack) -> bytes:
    """Return the secret of the order ids: the setting, else the one that the database keeps."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    return await stack.ledger.secret()


async def serve_gateway(
    settings: Settings,
    metrics: GatewayMetrics,
    background: Background,
    stop: asyncio.Event,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Open a stack and serve until `stop`. Raises the errors of `open_stack`, and `OSError`."""
    async with open_stack(settings, "gateway", background) as stack:
        app = create_app(settings, stack, await gateway_secret(settings, stack), metrics)
        async with serving(app):
            on_ready()
            await stop.wait()
            await retire(app)


async def run_gateway(settings: Settings, stop: asyncio.Event) -> None:
    """Run a gateway until `stop`, in one process or in `settings.gateway_workers`.

    Raises the errors of `open_stack`, and `OSError`.
    """
    require_shared_broker(settings, "gateway")
    server_tls(settings)  # one error line, and not one from each worker
    port = METRICS_PORT if settings.metrics_port is None else settings.metrics_port
    if settings.gateway_workers > 1:
        await run_workers(settings, port, stop)
        return
    metrics = GatewayMetrics()
    async with (
        Background(metrics.registry) as background,
        monitored(metrics.registry, settings.metrics_host, port, background),
    ):
        await serve_gateway(settings, metrics, background, stop)
