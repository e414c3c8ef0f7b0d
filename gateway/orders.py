"""`POST /orders` and `GET /orders/{id}`."""

import re
import time

import msgspec
from aiohttp import web

from flashsale.ledger import LedgerError
from flashsale.orders import OrderId, Status
from gateway.answers import Answer
from gateway.keys import BACKLOG, DESK, LEDGER, METRICS
from gateway.problems import Problem
from gateway.reading import idempotency_key, read_order

_ORDER_ID = re.compile(r"[0-9a-f]{32}\Z")
_encode = msgspec.json.Encoder().encode


class Queued(msgspec.Struct):
    """An order that waits. `position` 1 is next; `eta_seconds` is null if nobody drains."""

    order_id: str
    status: str
    position: int
    eta_seconds: float | None


class Decided(msgspec.Struct, omit_defaults=True):
    """An order that waits no more."""

    order_id: str
    status: str
    reason: str | None = None
    sku: str | None = None
    quantity: int | None = None


async def post_order(request: web.Request) -> Answer:
    """Take an order: 202 once the broker has confirmed it."""
    app = request.app
    metrics, backlog = app[METRICS], app[BACKLOG]
    started = time.perf_counter()
    try:
        key = idempotency_key(request)
        order = await read_order(request)
        order_id, number = await app[DESK].accept(order, key)
    except Problem as problem:
        metrics.orders.labels(problem.kind).inc()
        raise
    position = backlog.position(number)
    answer = Queued(order_id, Status.QUEUED, position, backlog.eta_seconds(position))
    metrics.accepted.inc()
    metrics.accept_seconds.observe(time.perf_counter() - started)
    return Answer(_encode(answer), 202, {"Location": f"/orders/{order_id}"})


async def get_order(request: web.Request) -> Answer:
    """Tell what became of an order."""
    order_id = OrderId(request.match_info["order_id"])
    answer = await _look_up(request.app, order_id) if _ORDER_ID.match(order_id) else None
    if answer is None:
        raise Problem("unknown-order", "No order of this id is known here.")
    return Answer(_encode(answer), headers={"Cache-Control": "no-store"})


async def _look_up(app: web.Application, order_id: OrderId) -> Decided | Queued | None:
    # Asked first: an order that is decided between the two questions must not look unknown.
    number = app[DESK].number(order_id)
    try:
        outcome = await app[LEDGER].outcome(order_id)
    except LedgerError as error:
        raise Problem("ledger-unavailable", "Try again.", retry_after=1) from error
    if outcome is not None:
        order = outcome.order
        return Decided(
            order_id, outcome.status, outcome.reason, order.sku or None, order.quantity or None
        )
    if number is None:
        return None
    position = app[BACKLOG].position(number)
    return Queued(order_id, Status.QUEUED, position, app[BACKLOG].eta_seconds(position))
