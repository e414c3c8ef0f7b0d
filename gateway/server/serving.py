"""Serve an application over HTTP, and end without a lost request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import structlog
from aiohttp import web

from flashsale.runtime.background import cancelled
from gateway.context import CONTEXT
from gateway.http.public_path import without_prefix
from gateway.limits.client_connections import client_connections
from gateway.server.acceptor import accept_connections
from gateway.server.connections import Connections
from gateway.server.direct_route import DirectRoute
from gateway.server.tls import server_tls

log = structlog.get_logger()

_LAST_ANSWERS_SECONDS = 10.0
_HANDSHAKE_SECONDS = 0.2  # of a client that is far away
_CANCELLED_SECONDS = 1.0


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Serve the application, and yield its URL. At the end, answer the requests that have come.

    Raises `SettingsError` if the certificate can't be used, `OSError` if the port is taken.
    """
    context = app[CONTEXT]
    settings = context.settings
    tls = server_tls(settings)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=_CANCELLED_SECONDS)
    await runner.setup()
    server = cast("web.Server", runner.server)  # set by setup()
    direct = DirectRoute(app, "POST", "/orders", settings.public_path)
    server.request_handler = direct.before(server.request_handler)
    if settings.public_path:
        server.request_factory = without_prefix(settings.public_path, server.request_factory)
    connections = Connections(
        server,
        context.lifecycle,
        context.metrics.requests,
        context.cors,
        of_clients=client_connections(settings),
        direct=direct,
        keep_alive_seconds=settings.keep_alive_seconds,
        header_seconds=settings.header_seconds,
    )
    watching = [context.background.start("slow connections", connections.watch)]
    if tls is not None:
        watching.append(context.background.start("certificate", tls.follow))
    try:
        async with accept_connections(
            settings.gateway_host,
            settings.gateway_port,
            connections,
            reuse_port=settings.gateway_workers > 1,
            handshake_seconds=min(_HANDSHAKE_SECONDS, settings.shutdown_seconds),
            tls=None if tls is None else lambda: tls.context,
            tls_seconds=settings.header_seconds,
        ) as (host, port):
            url = f"{'http' if tls is None else 'https'}://{host}:{port}"
            log.info("gateway listens", url=url)
            yield url
    finally:
        context.lifecycle.stop()
        await connections.close(_LAST_ANSWERS_SECONDS)
        await cancelled(*watching)
        await runner.cleanup()


async def retire(app: web.Application) -> None:
    """Become unready, and serve on until the load balancer has noticed.

    Meanwhile each answer closes its connection, so that clients go elsewhere for the next one.
    """
    context = app[CONTEXT]
    context.lifecycle.stop()
    log.info("gateway stops", seconds=context.settings.shutdown_seconds)
    await asyncio.sleep(context.settings.shutdown_seconds)
