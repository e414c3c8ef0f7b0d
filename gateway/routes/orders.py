"""`POST /orders`: take an order."""

import time

from aiohttp import web

from flashsale.domain.orders import OrderRequest
from gateway.context import CONTEXT
from gateway.http.idempotency_key import idempotency_key
from gateway.http.json_body import read_json_body
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem, kind_of
from gateway.identity.passes import PURCHASE_PASS as PASS_HEADER
from gateway.intake.accept_order import admit_all
from gateway.intake.order_request import CallersOrder, parse_order
from gateway.intake.refusals import Refusal
from gateway.limits.client_limits import ADMIT
from gateway.openapi.operation import Answer, Body, Operation
from gateway.openapi.parameters import IDEMPOTENCY_KEY, PURCHASE_PASS
from gateway.routes.order_views import RECEIPTS, encode_receipt


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
            if PASS_HEADER in request.headers:
                purchase_pass = await context.identity.passes.given(request)
        order_request = parse_order(
            await read_json_body(request),
            casefold=context.settings.customer_id_casefold,
            caller=caller,
        )
        admit = admit_all
        if context.client_limits is not None and (key is not None or purchase_pass is not None):
            admit = request.get(ADMIT, admit_all)
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

_FOLLOW_UP = {"order_id": "$response.body#/order_id"}

OPERATIONS = {
    "POST /orders": Operation(
        "postOrder",
        "Take an order",
        {
            202: Answer(
                "The broker has confirmed the order. A retry is told what became of the first.",
                RECEIPTS,
                headers={"Location": "The address of the order's state."},
                links={
                    "state": ("getOrder", _FOLLOW_UP),
                    "events": ("getOrderEvents", _FOLLOW_UP),
                },
            )
        },
        (
            "bad-json",
            "bad-idempotency-key",
            "other-customer",
            "pass-required",
            "invalid-pass",
            "unknown-sku",
            "sale-not-open",
            "sale-closed",
            "sold-out",
            "pass-used",
            "body-too-large",
            "unsupported-media-type",
            "invalid-order",
            "key-reused",
            "intake-paused",
            "queue-full",
            "broker-unavailable",
            "ledger-unavailable",
        ),
        parameters=(IDEMPOTENCY_KEY, PURCHASE_PASS),
        body=Body(OrderRequest, struct_with_token=CallersOrder),
        access="shopper",
    )
}
