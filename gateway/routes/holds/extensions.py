"""`POST /orders/{id}/extend`: a shopper extends a hold, once, if the sale allows it."""

import msgspec
from aiohttp import web

from flashsale.domain.holds.cancellations import ExtendRefusal
from flashsale.ledger import LedgerError
from gateway.context import CONTEXT
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem, ProblemKind
from gateway.openapi.operation import Answer, Operation
from gateway.routes.holds.cancellations import unknown_change
from gateway.routes.order_status import find_order, owner_of
from gateway.routes.order_views import VIEWS, order_view

_encode = msgspec.json.Encoder().encode

_REFUSALS: dict[ExtendRefusal, tuple[ProblemKind, str]] = {
    ExtendRefusal.UNKNOWN_ORDER: ("unknown-order", "No order of this id is known here."),
    ExtendRefusal.NOT_HELD: ("not-held", "There is no hold, or its time is over."),
    ExtendRefusal.NOT_EXTENDABLE: ("not-extendable", "This sale does not allow it."),
    ExtendRefusal.EXTENDED_ALREADY: ("extended-already", "A hold can be extended once."),
}


async def post_extend(request: web.Request) -> JsonResponse:
    """Extend the hold of the order that the path names by the time that the sale gives."""
    context = request.app[CONTEXT]
    order = await find_order(request)
    try:
        done = await context.holds.changes.extend(order, owner_of(request))
    except LedgerError as error:
        raise unknown_change() from error
    if isinstance(done, ExtendRefusal):
        kind, detail = _REFUSALS[done]
        raise Problem(kind, detail)
    return JsonResponse(_encode(order_view(context, done)))


ROUTES = [web.post("/orders/{order_id}/extend", post_extend)]

OPERATIONS = {
    "POST /orders/{order_id}/extend": Operation(
        "extendOrder",
        "Extend a hold",
        {200: Answer("The order, with the new end of its hold.", VIEWS)},
        ("unknown-order", "not-held", "not-extendable", "extended-already", "ledger-unavailable"),
        access="shopper",
    )
}
