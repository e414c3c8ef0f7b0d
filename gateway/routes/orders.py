"""`POST /orders`: take an order."""

import time

from aiohttp import web

from gateway.context import CONTEXT
from gateway.http.idempotency_key import idempotency_key
from gateway.http.json_body import read_json_body
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem, kind_of
from gateway.intake.accept_order import admit_all
from gateway.intake.order_request import parse_order
from gateway.intake.refusals import Refusal
from gateway.limits.client_limits import ADMIT
from gateway.routes.order_status import encode_receipt


async def post_order(request: web.Request) -> JsonResponse:
    """Answer 202 once the broker has confirmed the order."""
    context = request.app[CONTEXT]
    metrics = context.metrics
    started = time.perf_counter()
    try:
        key = idempotency_key(request)
        caller = purchase_pass = None
        if context.identity is not None:
            caller = context.identity.customer(request)
            purchase_pass = await context.identity.passes.given(request)
        order_request = parse_order(
            await read_json_body(request),
            casefold=context.settings.customer_id_casefold,
            caller=caller,
        )
        admit = admit_all if context.client_limits is None else request.get(ADMIT, admit_all)
        order = await context.intake.accept(order_request, key, purchase_pass, admit)
    except Refusal as refusal:
        metrics.orders.add(kind_of(refusal))
        raise
    except Problem as problem:
        metrics.orders.add(problem.kind)
        raise
    metrics.orders.add("accepted")
    metrics.accept_seconds.observe(time.perf_counter() - started)
    location = f"{context.public_path.of(request)}/orders/{order.order_id}"
    return JsonResponse(encode_receipt(context, order), 202, {"Location": location})


ROUTES = [web.post("/orders", post_order)]
