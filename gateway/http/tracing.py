"""The spans of an order on its way into the queue: the request, and the publish within it."""

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from flashsale.broker import BrokerError, Publisher
from flashsale.messages.headers import TRACEPARENT, Headers, trace_headers

if TYPE_CHECKING:
    from flashsale.observability.spans import Span, Tracing

_ROUTE = "/orders"

_request: "ContextVar[Span | None]" = ContextVar("request span", default=None)


def traced(tracing: "Tracing") -> Middleware:
    """Record a span for each `POST /orders`.

    It has to be the outermost middleware, so that the span has the final status.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != "POST" or request.path != _ROUTE:
            return await handler(request)
        span = tracing.request("POST", _ROUTE, request.scheme, _traceparent(request))
        _request.set(span)
        try:
            response = await handler(request)
        except BaseException as error:
            span.end(error)
            raise
        finally:
            _request.set(None)
        span.set("http.response.status_code", response.status)
        span.end(str(response.status) if response.status >= 500 else None)
        return response

    return middleware


class TracedPublisher(Publisher):
    """Wraps a publisher, and records a span until the confirm if the request has a span.

    All other messages are published unchanged.
    """

    def __init__(self, publisher: Publisher, tracing: "Tracing") -> None:
        self._publisher = publisher
        self._tracing = tracing

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        message_id: str,
        headers: Headers | None = None,
        mandatory: bool = True,
    ) -> asyncio.Future[None]:
        """See `Publisher.publish`."""
        request = _request.get()
        if request is None or not request.recorded:
            return self._publisher.publish(
                exchange,
                routing_key,
                body,
                message_id=message_id,
                headers=headers,
                mandatory=mandatory,
            )
        span = self._tracing.publish(request, exchange, routing_key, message_id, body)
        try:
            confirm = self._publisher.publish(
                exchange,
                routing_key,
                body,
                message_id=message_id,
                headers={**(headers or {}), **trace_headers(span.traceparent)},
                mandatory=mandatory,
            )
        except BrokerError as error:
            span.end(error)
            raise
        if confirm.done():
            _end(span, confirm)
        else:
            confirm.add_done_callback(lambda confirmed: _end(span, confirmed))
        return confirm


def _end(span: "Span", confirmed: asyncio.Future[None]) -> None:
    span.end("CancelledError" if confirmed.cancelled() else confirmed.exception())


def _traceparent(request: web.Request) -> str | None:
    # Ignore a repeated traceparent: nobody knows which one is right.
    values = request.headers.getall(TRACEPARENT, ())
    return values[0] if len(values) == 1 else None
