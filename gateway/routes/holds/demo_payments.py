"""`/demo/pay/{id}`: a demonstration of the page of a payment provider, at which no money moves."""

import secrets
from dataclasses import replace
from decimal import Decimal

import msgspec
from aiohttp import web

from flashsale.domain.holds.payments import Payment, PaymentOutcome
from gateway.context import CONTEXT, Context
from gateway.http.json_body import read_json_body
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.openapi.operation import Answer, Body, Operation, files
from gateway.pages import DEMO_TYPES, demo_files
from gateway.routes.holds.payments import PaymentView, settled, told_of
from gateway.routes.order_status import find_known_order
from gateway.state.orders import KnownOrder

_encode = msgspec.json.Encoder().encode


class DemoPayment(msgspec.Struct, frozen=True):
    """The body of `POST /demo/pay/{order_id}`: what is to become of the payment."""

    outcome: PaymentOutcome


_decode = msgspec.json.Decoder(DemoPayment).decode


async def post_demo_payment(request: web.Request) -> JsonResponse:
    """Pay the order that the path names, as if a provider had told of it."""
    context = request.app[CONTEXT]
    body = await read_json_body(request)
    try:
        outcome = _decode(body).outcome
    except msgspec.ValidationError as error:
        raise Problem("invalid-payment", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("bad-json", str(error)) from error
    order = await find_known_order(context, request.match_info["order_id"])
    return told_of(await settled(context, _payment(context, order, outcome)))


def _payment(context: Context, order: KnownOrder, outcome: PaymentOutcome) -> Payment:
    sale = context.sales.get(order.sku)
    amount = currency = None
    if sale is not None and sale.price is not None:
        amount, currency = str(Decimal(sale.price) * order.quantity), sale.currency
    payment_id = f"demo-{secrets.token_hex(8)}"
    return Payment(order.order_id, payment_id, outcome, amount, currency)


ROUTES = [
    *(web.get(path, handler) for path, handler in demo_files()),
    web.post("/demo/pay/{order_id}", post_demo_payment),
]
"""The routes of a gateway that demonstrates payments. Others have none of them."""

_PAGE = "GET /demo/pay/{order_id}"
_FILES = files(DEMO_TYPES, "demonstration")

OPERATIONS = {
    **_FILES,
    _PAGE: replace(_FILES[_PAGE], id="getDemoPaymentPage"),
    "POST /demo/pay/{order_id}": Operation(
        "postDemoPayment",
        "Demonstrate a payment",
        {200: Answer("What became of the payment.", (PaymentView,))},
        (
            *("bad-json", "body-too-large", "unsupported-media-type", "invalid-payment"),
            *("unknown-order", "never-held", "wrong-amount", "ledger-unavailable"),
        ),
        body=Body(DemoPayment),
        access="demonstration",
    ),
}
