"""`POST /admin/sales/{sku}/stock`, `/open` and `/close`: what is done to a sale at once."""

import msgspec
from aiohttp import web

from flashsale.domain.operators.sale_changes import CloseNow, OpenNow, SaleChange, StockChange
from gateway.context import CONTEXT
from gateway.http.idempotency_key import idempotency_key
from gateway.http.json_response import JsonResponse
from gateway.routes.admin.access import author, operators
from gateway.routes.admin.changes import change_problems, read_change, seen_version
from gateway.routes.admin.sale_view import sale_response, tell_change
from gateway.routes.admin.sales import sku_of


class StockDifference(msgspec.Struct, forbid_unknown_fields=True):
    """The items to add, or to take away if the number is negative."""

    add: int
    reason: str | None = None


class Action(msgspec.Struct, forbid_unknown_fields=True):
    """An action that needs no more than the reason of the operator."""

    reason: str | None = None


async def post_stock(request: web.Request) -> JsonResponse:
    """Add items to the stock, or take some away, never below what is sold."""
    wanted = await read_change(request, StockDifference)
    return await _change(request, StockChange(wanted.add), wanted.reason)


async def post_open(request: web.Request) -> JsonResponse:
    """Open the sale now."""
    return await _change(request, OpenNow(), await _reason(request))


async def post_close(request: web.Request) -> JsonResponse:
    """Close the sale now."""
    return await _change(request, CloseNow(), await _reason(request))


async def _reason(request: web.Request) -> str | None:
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
