"""`GET /sales` and `GET /sales/{sku}`: how far the sales are sold."""

import time

import msgspec
from aiohttp import web

from flashsale.domain.sales import Sale
from flashsale.domain.shown_terms import shown_terms
from flashsale.ledger import LedgerError
from gateway.context import CONTEXT, Context
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.openapi.operation import Answer, Operation
from gateway.routes.sale_terms import SaleTerms

_encode = msgspec.json.Encoder().encode


class SaleView(SaleTerms):
    """A sale as shoppers see it. The backlog is in orders, speeds in orders/s."""

    backlog: int
    backlog_limit: int
    drain_rate: int
    drained_per_second: float | None
    paused: bool
    """Whether an operator has paused the drain: orders wait."""
    intake_paused: bool
    notice: str | None
    """What the operator tells shoppers while the intake is paused."""


class SalesView(msgspec.Struct):
    """All sales."""

    sales: list[SaleView]


async def get_sales(request: web.Request) -> JsonResponse:
    """Answer with all sales."""
    context = request.app[CONTEXT]
    body = context.sales_listing.read(
        time.monotonic(),
        lambda: _encode(SalesView([sale_view(context, sale) for sale in context.sales])),
    )
    return JsonResponse(body)


async def get_sale(request: web.Request) -> JsonResponse:
    """Answer with one sale."""
    view = sale_view(request.app[CONTEXT], await find_sale(request))
    return JsonResponse(_encode(view))


async def find_sale(request: web.Request) -> Sale:
    """Return the sale that the path names. Raises `Problem`."""
    try:
        sale = await request.app[CONTEXT].sales.find(request.match_info["sku"])
    except LedgerError as error:
        raise Problem("ledger-unavailable", "Try again.", retry_after=1) from error
    if sale is None:
        raise Problem("unknown-sku", "There is no sale of this sku.")
    return sale


def sale_view(context: Context, sale: Sale) -> SaleView:
    """Return a sale as it is now."""
    speed = context.queue_position.drained_per_second(context.backlog.consumers)
    return SaleView(
        **shown_terms(sale, context.drain.now()),
        backlog=context.backlog.ready,
        backlog_limit=context.settings.queue_max_length,
        drain_rate=context.drain.drain_rate,
        drained_per_second=None if speed is None else round(speed, 1),
        paused=context.drain.paused,
        intake_paused=context.controls.current.intake_paused,
        notice=context.controls.current.notice,
    )


ROUTES = [web.get("/sales", get_sales), web.get("/sales/{sku}", get_sale)]

OPERATIONS = {
    "GET /sales": Operation(
        "listSales", "List all sales", {200: Answer("All sales.", (SalesView,))}
    ),
    "GET /sales/{sku}": Operation(
        "getSale",
        "Tell how far a sale is sold",
        {200: Answer("The sale.", (SaleView,))},
        ("unknown-sku", "ledger-unavailable"),
    ),
}
