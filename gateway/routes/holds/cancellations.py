"""`POST /orders/{id}/cancel`: a shopper cancels an order, a queued one, too."""

import msgspec
from aiohttp import web

from flashsale.domain.audit_entries import Author
from flashsale.domain.holds.cancellations import CancelRefusal
from flashsale.ledger import KeyTaken, LedgerError
from gateway.context import CONTEXT, Context
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem, ProblemKind
from gateway.openapi.operation import Answer, Operation
from gateway.routes.order_status import find_order, owner_of
from gateway.routes.order_views import DecidedView, order_view
from gateway.state.orders import KnownOrder

_encode = msgspec.json.Encoder().encode

_REFUSALS: dict[CancelRefusal, tuple[ProblemKind, str]] = {
    CancelRefusal.UNKNOWN_ORDER: ("unknown-order", "No order of this id is known here."),
    CancelRefusal.NOT_CANCELLABLE: (
        "not-cancellable",
        "This sale does not allow to cancel an order that is bought, or that the shop has.",
    ),
    CancelRefusal.OVER: ("order-over", "There is nothing to cancel."),
}

CANCELLED = Answer("The cancelled order. One that was cancelled before stays so.", (DecidedView,))
PROBLEMS: tuple[ProblemKind, ...] = (
    "unknown-order",
    "not-cancellable",
    "order-over",
    "ledger-unavailable",
)
"""What any cancellation may answer."""


async def post_cancel(request: web.Request) -> JsonResponse:
    """Cancel the order that the path names, for its customer."""
    context = request.app[CONTEXT]
    return await cancelled_order(context, await find_order(request), owner_of(request))


async def cancelled_order(
    context: Context, order: KnownOrder, owner: str | None, author: Author | None = None
) -> JsonResponse:
    """Answer with the order once it is cancelled. Raises `Problem`, and `KeyTaken`."""
    try:
        done = await context.holds.changes.cancel(order, owner, author)
    except KeyTaken:
        raise
    except LedgerError as error:
        raise unknown_change() from error
    if isinstance(done, CancelRefusal):
        kind, detail = _REFUSALS[done]
        raise Problem(kind, detail)
    return JsonResponse(_encode(order_view(context, done)))


def unknown_change() -> Problem:
    """Return the problem if nobody knows whether an order was changed."""
    return Problem(
        "ledger-unavailable",
        "It is not known whether the order was changed. Send this again: that is safe.",
        retry_after=1,
    )


ROUTES = [web.post("/orders/{order_id}/cancel", post_cancel)]

OPERATIONS = {
    "POST /orders/{order_id}/cancel": Operation(
        "cancelOrder",
        "Cancel an order",
        {200: CANCELLED},
        PROBLEMS,
        access="shopper",
    )
}
