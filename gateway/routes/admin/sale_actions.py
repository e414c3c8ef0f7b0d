"""`POST /admin/sales/{sku}/stock`, `/open` and `/close`: what is done to a sale at once."""

import msgspec
from aiohttp import web

from flashsale.domain.operators.sale_changes import CloseNow, OpenNow, SaleChange, StockChange
from gateway.context import CONTEXT
from gateway.http.idempotency_key import idempotency_key
from gateway.http.json_response import JsonResponse
from gateway.http.problems import ProblemKind
from gateway.openapi.operation import Body, Operation
from gateway.openapi.parameters import IDEMPOTENCY_KEY, IF_MATCH_OR_ANY
from gateway.openapi.terms import ItemsMore, Text
from gateway.routes.admin.access import author, operators
from gateway.routes.admin.changes import OF_BODIES, change_problems, read_change, seen_version
from gateway.routes.admin.sale_view import ONE_SALE, sale_response, tell_change
from gateway.routes.admin.sales import sku_of


class StockDifference(msgspec.Struct, forbid_unknown_fields=True):
    """The items to add, or to take away if the number is negative."""

    add: ItemsMore
    reason: Text | None = None


class Action(msgspec.Struct, forbid_unknown_fields=True):
    """An action that needs no more than the reason of the operator."""

    reason: Text | None = None


async def post_stock(request: web.Request) -> JsonResponse:
    """Add items to the stock, or take some away, never below what is sold."""
    wanted = await read_change(request, StockDifference)
    return await _change(request, StockChange(wanted.add), wanted.reason)


async def post_open(request: web.Request) -> JsonResponse:
    """Open the sale now."""
    return await _change(request, OpenNow(), await reason_of(request))


async def post_close(request: web.Request) -> JsonResponse:
    """Close the sale now."""
    return await _change(request, CloseNow(), await reason_of(request))


async def reason_of(request: web.Request) -> str | None:
    """Return the reason in the body of an action, None without one. Raises `Problem`."""
    if not request.can_read_body:
        return None
    return (await read_change(request, Action)).reason


async def _change(request: web.Request, change: SaleChange, reason: str | None) -> JsonResponse:
    """Change the sale once, however often the request comes with its `Idempotency-Key`."""
    context = request.app[CONTEXT]
    sku, version = sku_of(request), seen_version(request, required=False)
    who = author(request, reason, idempotency_key(request))
    with change_problems():
        changed = await context.managed_sales.change_sale(sku, change, who, version)
    await tell_change(context)
    return sale_response(context, changed)


ROUTES = [
    web.post("/admin/sales/{sku}/stock", operators(post_stock)),
    web.post("/admin/sales/{sku}/open", operators(post_open)),
    web.post("/admin/sales/{sku}/close", operators(post_close)),
]


def _action(
    operation_id: str, summary: str, body: Body, problems: tuple[ProblemKind, ...] = ()
) -> Operation:
    return Operation(
        operation_id,
        summary,
        {200: ONE_SALE},
        (
            *OF_BODIES,
            *problems,
            "bad-idempotency-key",
            "unknown-sku",
            "conflict",
            "precondition-failed",
            "key-reused",
            "ledger-unavailable",
        ),
        parameters=(IDEMPOTENCY_KEY, IF_MATCH_OR_ANY),
        body=body,
        access="operator",
    )


OPERATIONS = {
    "POST /admin/sales/{sku}/stock": _action(
        "changeStock", "Add items, or take some away", Body(StockDifference), ("stock-below-sold",)
    ),
    "POST /admin/sales/{sku}/open": _action(
        "openSale", "Open a sale now", Body(Action, required=False)
    ),
    "POST /admin/sales/{sku}/close": _action(
        "closeSale", "Close a sale now", Body(Action, required=False)
    ),
}
