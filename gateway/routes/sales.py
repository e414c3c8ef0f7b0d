"""`GET /sales` and `GET /sales/{sku}`: how far the sales are sold."""

import time
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from flashsale.domain.sales import Sale, SaleState, sale_state
from flashsale.ledger import LedgerError
from gateway.context import CONTEXT, Context
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.openapi.operation import Answer, Operation

_encode = msgspec.json.Encoder().encode


class SaleView(msgspec.Struct):
    """A sale as shoppers see it. Stock in items, the backlog in orders, speeds in orders/s."""

    sku: str
    state: SaleState
    title: str | None
    price: str | None
    currency: str | None
    picture_url: str | None
    stock: int
    sold: int
    remaining: int
    customer_limit: int | None
    opens_at: datetime | None
    closes_at: datetime | None
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
        sku=sale.sku,
        state=sale_state(sale, context.drain.now()),
        title=sale.title,
        price=sale.price,
        currency=sale.currency,
        picture_url=sale.picture_url,
        stock=sale.stock,
        sold=sale.sold,
        remaining=sale.remaining,
        customer_limit=sale.customer_limit,
        opens_at=_moment(sale.opens_at),
        closes_at=_moment(sale.closes_at),
        backlog=context.backlog.ready,
        backlog_limit=context.settings.queue_max_length,
        drain_rate=context.drain.drain_rate,
        drained_per_second=None if speed is None else round(speed, 1),
        paused=context.drain.paused,
        intake_paused=context.controls.current.intake_paused,
        notice=context.controls.current.notice,
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


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
