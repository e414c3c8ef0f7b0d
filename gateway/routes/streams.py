"""`GET /orders/{id}/events` and `GET /sales/{sku}/events`: the truth as it becomes known."""

import asyncio
import time

import msgspec
from aiohttp import web

from flashsale.domain.order_states import Status
from gateway.context import BACKLOG, CATALOGUE, LIFECYCLE, LINE, STREAMS
from gateway.http.problems import Problem
from gateway.http.sse import EventStream, event
from gateway.routes.order_status import Queued, find_order, view
from gateway.routes.sales import find_sale, sale_view
from gateway.state.orders import Known

_PROGRESS_SECONDS = 1.0
_SALE_SECONDS = 0.25
_KEEP_ALIVE_SECONDS = 15.0
# A browser that lost its stream comes back after this long.
_RETRY = b"retry: 2000\n\n"
_ORDERS = "orders"
_encode = msgspec.json.Encoder().encode


class Ticket(msgspec.Struct):
    """An order that waits: its place in line is its `number` less what is `served`."""

    order_id: str
    status: str
    position: int
    eta_seconds: float | None
    number: int
    served: int


class Served(msgspec.Struct):
    """How far the line is; `drain_rate`, in orders a second, is null if nothing moves."""

    served: int
    drain_rate: float | None


async def get_order_events(request: web.Request) -> web.StreamResponse:
    """Stream an order: what it is now, how the line moves, and the decision at the end."""
    app = request.app
    known = await find_order(request)
    final = None if known.status is Status.QUEUED else _final_id(known)
    if final is not None and request.headers.get("Last-Event-ID") == final:
        # The browser reconnects when the stream ends; this tells it not to.
        return web.Response(status=204)
    stream = await _open(request)
    if known.status is Status.QUEUED:
        stream.send(_ticket(app, known))
        await _listen(app, _ORDERS, stream, known.decision())
    if known.status is not Status.QUEUED:
        stream.send(event(known.status, _encode(view(app, known)), _final_id(known)))
    return stream


async def get_sale_events(request: web.Request) -> web.StreamResponse:
    """Stream a sale: what it is now, and every change."""
    app = request.app
    sale = await find_sale(request)
    stream = await _open(request)
    stream.send(event("sale", _encode(sale_view(app, sale))))
    await _listen(app, f"sale {sale.sku}", stream)
    return stream


async def tell_orders(app: web.Application) -> None:
    """Keep telling those who wait for orders how the line moves."""
    told = None
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        line = app[LINE]
        moves = line.eta_seconds(1, app[BACKLOG].consumers) is not None
        served = Served(line.served, round(line.drain_rate, 1) if moves else None)
        if served != told:
            told = served
            await app[STREAMS].broadcast(_ORDERS, event("progress", _encode(served)))


async def tell_sales(app: web.Application) -> None:
    """Keep telling those who watch a sale what changed; that it is sold out, at once."""
    told: dict[str, bytes] = {}
    while True:
        watched = {topic.partition(" ")[2] for topic in app[STREAMS].topics()} - {""}
        told = {sku: seen for sku, seen in told.items() if sku in watched}
        for sku in watched:
            sale = app[CATALOGUE].get(sku)
            if sale is None:
                continue
            seen = _encode(sale_view(app, sale))
            if told.get(sku) != seen:
                told[sku] = seen
                await app[STREAMS].broadcast(f"sale {sku}", event("sale", seen))
        await asyncio.sleep(_SALE_SECONDS)


async def keep_alive(app: web.Application) -> None:
    """Keep sending comments, so that no proxy ends a quiet stream and dead ones are noticed."""
    while True:
        await asyncio.sleep(_KEEP_ALIVE_SECONDS)
        comment = f": {time.time():.0f}\n\n".encode()
        for topic in app[STREAMS].topics():
            await app[STREAMS].broadcast(topic, comment)


async def _open(request: web.Request) -> EventStream:
    app = request.app
    if app[STREAMS].full:
        raise Problem("too-many-streams", "Poll, or come back.", retry_after=5)
    stream = EventStream()
    await stream.prepare(request)
    stream.send(_RETRY)
    return stream


async def _listen(
    app: web.Application, topic: str, stream: EventStream, *ends: asyncio.Future[None]
) -> None:
    """Send it what is broadcast, until one of these ends, its reader is gone, or we stop."""
    with app[STREAMS].listening(topic, stream), app[LIFECYCLE].until_stopped() as stopped:
        await asyncio.wait((stream.ended, stopped, *ends), return_when=asyncio.FIRST_COMPLETED)


def _ticket(app: web.Application, known: Known) -> bytes:
    seen = view(app, known)
    assert isinstance(seen, Queued)  # noqa: S101 it was looked at in this turn
    line = app[LINE]
    ticket = Ticket(
        seen.order_id, seen.status, seen.position, seen.eta_seconds, known.number, line.served
    )
    return event("queued", _encode(ticket), f"queued-{known.number}")


def _final_id(known: Known) -> str:
    return f"final-{known.status}"
