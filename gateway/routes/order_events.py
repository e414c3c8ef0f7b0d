"""`GET /orders/{id}/events`: an order's position in the queue and its decision, as a stream."""

import msgspec
from aiohttp import web

from flashsale.domain.order_states import OPEN, Status
from gateway.context import CONTEXT, Context
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.http.sse import event
from gateway.openapi.operation import Answer, Operation, Parameter
from gateway.routes.order_status import find_order
from gateway.routes.order_views import (
    DecidedView,
    HeldView,
    QueuedView,
    WaitlistedView,
    order_view,
)
from gateway.routes.streams import listen, open_stream
from gateway.state.orders import KnownOrder

_QUEUED = "orders"
_OPEN = "open orders"
"""The topics of the streams of orders that are queued, and of those that are held or in line."""
_encode = msgspec.json.Encoder().encode


class TicketView(msgspec.Struct, omit_defaults=True):
    """An order that waits: its position is its `number` less the count of `served` orders."""

    order_id: str
    status: Status
    position: int
    eta_seconds: float | None
    number: int
    served: int
    paused: bool = False


class ProgressView(msgspec.Struct, omit_defaults=True):
    """How many orders were served, and how fast in orders a second: null if nothing moves.

    `paused` is there while an operator has paused the drain.
    """

    served: int
    drained_per_second: float | None
    paused: bool = False


async def get_order_events(request: web.Request) -> web.StreamResponse:
    """Stream the order's state, the progress of the queue, and each other state that follows."""
    context = request.app[CONTEXT]
    order = await find_order(request)
    over = order.status not in OPEN
    if over and request.headers.get("Last-Event-ID") == _final_id(order):
        # The browser reconnects when the stream ends; a 204 tells it to stop that.
        return JsonResponse(b"", 204)
    stream = await open_stream(request)
    if request.method == "HEAD":
        return stream
    stream.send(_state_event(context, order))
    while order.status in OPEN:
        ends = [order.change()]
        if order.status is Status.WAITLISTED:
            ends.append(context.changes.lines.next_of(order.sku))
        topic = _QUEUED if order.status is Status.QUEUED else _OPEN
        await listen(context, topic, stream, *ends)
        if stream.ended.done() or context.lifecycle.stopping:
            break
        if context.orders.get(order.order_id) is not order:
            # It is forgotten, as it has been known for long.
            try:
                order = await find_order(request)
            except Problem:
                break  # the client opens the stream again
        stream.send(_state_event(context, order))
    return stream


async def tell_progress(context: Context) -> None:
    """Keep telling the streams of all orders that wait how the queue moves."""
    told: ProgressView | None = None

    async def tell(_: str) -> bool:
        nonlocal told
        queue_position = context.queue_position
        speed = queue_position.drained_per_second(context.backlog.consumers)
        progress = ProgressView(
            queue_position.served,
            None if speed is None else round(speed, 1),
            context.drain.paused,
        )
        if progress == told:
            return False
        told = progress
        await context.streams.broadcast(_QUEUED, event("progress", _encode(progress)))
        return True

    await context.changes.progress.follow(tell)


def _state_event(context: Context, order: KnownOrder) -> bytes:
    view = order_view(context, order)
    if not isinstance(view, QueuedView):
        event_id = None if order.status in OPEN else _final_id(order)
        return event(order.status, _encode(view), event_id)
    ticket = TicketView(
        view.order_id,
        view.status,
        view.position,
        view.eta_seconds,
        order.number,
        context.queue_position.served,
        view.paused,
    )
    return event("queued", _encode(ticket), f"queued-{order.number}")


def _final_id(order: KnownOrder) -> str:
    return f"final-{order.status}"


ROUTES = [web.get("/orders/{order_id}/events", get_order_events)]

OPERATIONS = {
    "GET /orders/{order_id}/events": Operation(
        "getOrderEvents",
        "Stream what becomes of an order",
        {
            200: Answer(
                "Server-sent events, until the order is over: no other state follows in time.",
                content_type="text/event-stream",
                events={
                    "queued": TicketView,
                    "progress": ProgressView,
                    "held": HeldView,
                    "waitlisted": WaitlistedView,
                    "confirmed": DecidedView,
                    "rejected": DecidedView,
                    "failed": DecidedView,
                    "expired": DecidedView,
                    "cancelled": DecidedView,
                },
            ),
            204: Answer("The client has had the last event.", content_type=None),
        },
        ("unknown-order", "too-many-streams", "ledger-unavailable"),
        parameters=(
            Parameter("Last-Event-ID", "header", "The last event that the client has had."),
        ),
        access="shopper",
    )
}
