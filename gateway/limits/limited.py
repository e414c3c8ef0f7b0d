"""Refuse the requests of a client that are over its limits, before their bodies are read."""

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.http.json_response import JsonResponse
from gateway.http.problems import kind_of, refusal_response
from gateway.http.request_log import route_of
from gateway.intake.refusals import OverClientLimit
from gateway.limits.client_limit import SharedLimit
from gateway.limits.client_limits import ADMIT, ClientLimits
from gateway.limits.open_counts import OpenCounts
from gateway.limits.problems import connections_problem

if TYPE_CHECKING:
    from gateway.server.connection import Connection

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_ORDERS = "/orders"
_STREAM = "/events"
# An order with one of these may be known already.
_NAMES_OF_RETRIES = ("Idempotency-Key", "Purchase-Pass")
# Load balancers ask for the first two. Operators have tokens, and a second for each wrong one.
_UNLIMITED = ("/healthz", "/readyz", "/admin", "/ops")
# Of each client, as long as it does not have more connections than this makes wait.
_REFUSED_A_SECOND = 200
_LONGEST_DELAY_SECONDS = 1.0


def limited(limits: ClientLimits, metrics: GatewayMetrics) -> Middleware:
    """Refuse what is over the limits of a client with 429, a bounded number of them a second.

    If shoppers have tokens, the middleware that checks them has to run before this one.
    """
    refused = OpenCounts()

    async def refuse(
        request: web.Request, limit: SharedLimit, refusal: OverClientLimit, client: bytes
    ) -> JsonResponse:
        limits.warn_of_proxy(request)
        # A flood on many connections waits for its own answers. Others do not wait for it.
        with refused.counted(client) as count:
            await asyncio.sleep(min(count / _REFUSED_A_SECOND, _LONGEST_DELAY_SECONDS))
        return _response(request, limit, refusal)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = route_of(request)
        if route.startswith(_UNLIMITED):
            return await handler(request)
        reads = request.method in _READS
        limit = limits.reads if reads else limits.orders
        most = limits.most_waiting if reads and _waits(request, route) else None
        if limit is None and most is None:
            return await handler(request)
        client = limits.client(request)
        is_order = route == _ORDERS and not reads
        if limit is not None:
            try:
                if is_order and any(name in request.headers for name in _NAMES_OF_RETRIES):
                    limits.take_retry(limit, client)
                    request[ADMIT] = lambda: limits.take(limit, client)
                else:
                    limits.take(limit, client)
            except OverClientLimit as refusal:
                if is_order:
                    metrics.orders.add(kind_of(refusal))
                return await refuse(request, limit, refusal, client)
        if most is not None:
            with limits.waiting.counted(client) as count:
                if count > most:
                    raise connections_problem(most)
                return await handler(request)
        try:
            return await handler(request)
        except OverClientLimit as refusal:
            assert limit is not None  # noqa: S101 nothing else raises it
            return await refuse(request, limit, refusal, client)

    return middleware


def _response(request: web.Request, limit: SharedLimit, refusal: OverClientLimit) -> JsonResponse:
    if not request.content.is_eof():
        cast("Connection", request.protocol).end_after_answer()
    response = refusal_response(refusal)
    response.add_headers(
        {"RateLimit-Policy": limit.policy, "RateLimit": limit.state(refusal.retry_after or 0.0)}
    )
    return response


def _waits(request: web.Request, route: str) -> bool:
    return route.endswith(_STREAM) or "Prefer" in request.headers
