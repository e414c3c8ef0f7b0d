"""`POST /orders`."""

import time

from aiohttp import web

from gateway.context import DESK, METRICS
from gateway.http.json_response import Answer
from gateway.http.problems import Problem
from gateway.intake.order_request import idempotency_key, read_order
from gateway.routes.order_status import receipt


async def post_order(request: web.Request) -> Answer:
    """Take an order: 202 once the broker has confirmed it."""
    app = request.app
    metrics = app[METRICS]
    started = time.perf_counter()
    try:
        key = idempotency_key(request)
        order = await read_order(request)
        known = await app[DESK].accept(order, key)
    except Problem as problem:
        metrics.orders.add(problem.kind)
        raise
    metrics.orders.add("accepted")
    metrics.accept_seconds.observe(time.perf_counter() - started)
    return Answer(receipt(app, known), 202, {"Location": f"/orders/{known.order_id}"})
