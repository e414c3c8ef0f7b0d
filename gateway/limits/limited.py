"""Refuse the requests of a client that are over its limits, before their bodies are read."""

import asyncio
import random
import time
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.http.json_response import JsonResponse
from gateway.http.problems import kind_of, refusal_response
from gateway.http.request_log import route_of
from gateway.identity.callers import Callers, caller_of, is_for_shoppers
from gateway.intake.refusals import OverClientLimit
from gateway.limits.client_limit import SharedLimit
from gateway.limits.client_limits import ADMIT, ClientLimits, may_be_retry
from gateway.limits.open_counts import OpenCounts
from gateway.limits.problems import connections_problem

if TYPE_CHECKING:
    from gateway.server.connection import Connection

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_ORDERS = "/orders"
_PAYMENTS = "/payments"
# They take no order. A client that may order no more may still cancel.
_AS_READS = frozenset({"/orders/{order_id}/cancel", "/orders/{order_id}/extend"})
_STREAM = "/events"
# Load balancers ask for the first two. Operators have tokens, and a second for each wrong one.
_UNLIMITED = ("/healthz", "/readyz", "/admin", "/ops")
# Of each client, as long as it has no more connections than have to wait for the longest delay.
_REFUSED_A_SECOND = 200
_LONGEST_DELAY_SECONDS = 10.0
# A client that is gone, or sends nothing more, is not held back for longer than that.
_LOOK_SECONDS = 2.0


def limited(
    limits: ClientLimits, metrics: GatewayMetrics, callers: Callers | None = None
) -> Middleware:
    """Refuse what is over the limits of a client with 429, a bounded number of them a second.

    If shoppers have tokens, `callers` finds out who they are first. A request that waits for
    nothing here is passed on without a coroutine of its own: most of a spike are such orders.
    """
    refused = OpenCounts()

    async def refuse(
        request: web.Request, limit: SharedLimit, refusal: OverClientLimit, client: bytes
    ) -> JsonResponse:
        limits.warn_of_proxy(request)
        # A flood on many connections waits for its own answers. Others do not wait for it.
        # By chance, they come evenly: else all of them would come together once a second, and
        # hold up everybody for that moment.
        with refused.counted(client) as count:
            delay = min(count / _REFUSED_A_SECOND, _LONGEST_DELAY_SECONDS)
            delay *= random.uniform(0.5, 1.5)  # noqa: S311 no secret
            connection = cast("Connection", request.protocol)
            while delay > 0 and connection.connected and not connection.hears_nothing:
                await asyncio.sleep(min(delay, _LOOK_SECONDS))
                delay -= _LOOK_SECONDS
        return _response(request, limit, refusal)

    @web.middleware
    def middleware(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        route = route_of(request)
        if route.startswith(_UNLIMITED):
            return handler(request)
        if callers is None or not is_for_shoppers(route):
            return admit(request, handler, route, None)
        customer = callers.recall(request)
        if customer is None:
            return identify(request, handler, route, callers)
        return admit(request, handler, route, customer)

    async def identify(
        request: web.Request, handler: Handler, route: str, callers: Callers
    ) -> web.StreamResponse:
        await callers.identify(request)
        return await admit(request, handler, route, caller_of(request))

    def admit(
        request: web.Request, handler: Handler, route: str, customer: str | None
    ) -> Awaitable[web.StreamResponse]:
        reads = request.method in _READS or route in _AS_READS
        limit = limits.reads if reads else limits.orders
        most = limits.most_waiting if request.method in _READS and _waits(request, route) else None
        if limit is None and most is None:
            return handler(request)
        client = limits.client(request, customer)
        if most is not None:
            handler = partial(counted_while_waiting, handler=handler, client=client, most=most)
        if limit is None:
            return handler(request)
        if route == _PAYMENTS and not reads:
            # One with a valid signature is no shopper's, and is not counted.
            return admit_later(request, handler, limit, client)
        is_order = route == _ORDERS and not reads
        is_retry = is_order and may_be_retry(request)
        now = time.monotonic()
        wait = limits.take_retry(limit, client, now) if is_retry else limit.take(client, now)
        if wait:
            refusal = OverClientLimit(wait)
            if is_order:
                metrics.orders.add(kind_of(refusal))
            return refuse(request, limit, refusal, client)
        return admit_later(request, handler, limit, client) if is_retry else handler(request)

    async def admit_later(
        request: web.Request, handler: Handler, limit: SharedLimit, client: bytes
    ) -> web.StreamResponse:
        request[ADMIT] = lambda: limits.take(limit, client)
        try:
            return await handler(request)
        except OverClientLimit as refusal:
            return await refuse(request, limit, refusal, client)

    async def counted_while_waiting(
        request: web.Request, handler: Handler, client: bytes, most: int
    ) -> web.StreamResponse:
        with limits.waiting.counted(client) as count:
            if count > most:
                raise connections_problem(most)
            return await handler(request)

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
