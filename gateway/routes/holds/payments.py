"""`POST /payments`: what a payment provider tells of a payment."""

import time

import msgspec
from aiohttp import web

from flashsale.domain.holds.payments import Disposition, Payment, PaymentRefusal
from flashsale.domain.order_ids import is_order_id
from flashsale.ledger import LedgerError, PaymentAnswer
from flashsale.messages.standard_webhooks import ID, SIGNATURE, TIMESTAMP
from gateway.context import CONTEXT, Context
from gateway.holds.payment_request import PaymentRequest, Unsigned, read_signed
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem, ProblemKind, kind_of
from gateway.intake.accept_order import admit_all
from gateway.intake.refusals import Refusal
from gateway.limits.client_limits import ADMIT
from gateway.openapi.operation import Answer, Body, Operation, Parameter

_encode = msgspec.json.Encoder().encode

_REFUSALS: dict[PaymentRefusal, tuple[ProblemKind, str]] = {
    PaymentRefusal.UNKNOWN_ORDER: ("unknown-order", "No order of this id is known here."),
    PaymentRefusal.NEVER_HELD: (
        "never-held",
        "Nobody was asked to pay for this order. Give the money back, and look at the order.",
    ),
    PaymentRefusal.WRONG_AMOUNT: (
        "wrong-amount",
        "The amount or the currency is not that of the order. Nothing was changed.",
    ),
    PaymentRefusal.OTHER_ORDER: (
        "payment-of-other-order",
        "This payment_id came before, with another order_id.",
    ),
}


class PaymentView(msgspec.Struct):
    """What became of a payment."""

    order_id: str
    payment_id: str
    result: Disposition
    """The order is paid; or the money has to be given back; or the payment has failed, and the
    order is as it was."""
    again: bool
    """Whether the payment was told of before. Then `result` is what the first one got."""


async def post_payment(request: web.Request) -> JsonResponse:
    """Answer 200 once what the payment changes is committed."""
    metrics = request.app[CONTEXT].metrics
    started = time.perf_counter()
    try:
        answer = await _take(request)
    except Refusal as refusal:
        metrics.payments.add(kind_of(refusal))
        raise
    except Problem as problem:
        metrics.payments.add(problem.kind)
        raise
    metrics.payments.add("again" if answer.again else str(answer.result))
    metrics.payment_seconds.observe(time.perf_counter() - started)
    return told_of(answer)


def told_of(answer: PaymentAnswer) -> JsonResponse:
    """Answer with what became of a payment."""
    told = answer.payment
    assert isinstance(answer.result, Disposition)  # noqa: S101 `settled` raises the others
    view = PaymentView(told.order_id, told.payment_id, answer.result, answer.again)
    return JsonResponse(_encode(view))


async def _take(request: web.Request) -> PaymentAnswer:
    """Return what became of the payment. Raises `Problem`, and `OverClientLimit`."""
    context = request.app[CONTEXT]
    if not context.holds.payment_keys:
        raise Problem("not-found", "FLASHSALE_PAYMENT_SECRET is not set: there is no such address.")
    try:
        payment = await read_signed(request, context.holds.payment_keys, time.time())
    except Unsigned as unsigned:
        request.get(ADMIT, admit_all)()
        raise unsigned.problem from unsigned
    return await settled(context, payment)


async def settled(context: Context, payment: Payment) -> PaymentAnswer:
    """Return what became of a payment, once that is committed. Raises `Problem`."""
    answer = await _settled(context, payment)
    if isinstance(answer.result, PaymentRefusal):
        kind, detail = _REFUSALS[answer.result]
        raise Problem(kind, detail, order_id=payment.order_id)
    return answer


async def _settled(context: Context, payment: Payment) -> PaymentAnswer:
    if not is_order_id(payment.order_id):
        return PaymentAnswer(payment, PaymentRefusal.UNKNOWN_ORDER)
    try:
        return await context.holds.payments.take(payment)
    except LedgerError as error:
        raise Problem(
            "ledger-unavailable",
            "It is not known whether the payment was taken in. Tell of it again: that is safe.",
            retry_after=1,
        ) from error


ROUTES = [web.post("/payments", post_payment)]

_HEADERS = tuple(
    Parameter(name, "header", description, schema, required=True)
    for name, description, schema in (
        (ID, "The id of this delivery, the same if it comes again.", {"type": "string"}),
        (TIMESTAMP, "When it was signed, in whole Unix seconds.", {"type": "string"}),
        (SIGNATURE, "The signature of Standard Webhooks, `v1,...`.", {"type": "string"}),
    )
)

OPERATIONS = {
    "POST /payments": Operation(
        "postPayment",
        "Tell of a payment",
        {200: Answer("What became of the payment. It is committed.", (PaymentView,))},
        (
            "bad-json",
            "invalid-payment",
            "unknown-order",
            "never-held",
            "payment-of-other-order",
            "body-too-large",
            "unsupported-media-type",
            "wrong-amount",
            "ledger-unavailable",
        ),
        parameters=_HEADERS,
        body=Body(PaymentRequest),
        access="provider",
    )
}
