"""`GET /sales` and `GET /sales/{sku}`."""

import time
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from flashsale.ledger import LedgerError
from flashsale.selling import Sale
from gateway.answers import Answer
from gateway.catalogue import SaleState, sale_state
from gateway.keys import BACKLOG, CATALOGUE, SETTINGS
from gateway.problems import Problem

_encode = msgspec.json.Encoder().encode


class SaleView(msgspec.Struct):
    """A sale as shoppers see it. Items, orders waiting, orders a second."""

    sku: str
    state: SaleState
    stock: int
    sold: int
    remaining: int
    customer_limit: int | None
    opens_at: datetime | None
    closes_at: datetime | None
    backlog: int
    backlog_limit: int
    drain_rate: int


async def get_sales(request: web.Request) -> Answer:
    """Tell of all sales."""
    views = [sale_view(request.app, sale) for sale in request.app[CATALOGUE]]
    return _json({"sales": views})


async def get_sale(request: web.Request) -> Answer:
    """Tell of one sale."""
    return _json(sale_view(request.app, await find_sale(request)))


async def find_sale(request: web.Request) -> Sale:
    """The sale that a path names. Raises `Problem`."""
    try:
        sale = await request.app[CATALOGUE].find(request.match_info["sku"])
    except LedgerError as error:
        raise Problem("ledger-unavailable", "Try again.", retry_after=1) from error
    if sale is None:
        raise Problem("unknown-sku", "There is no sale of this sku.")
    return sale


def _json(value: object) -> Answer:
    return Answer(_encode(value), headers={"Cache-Control": "no-store"})


def sale_view(app: web.Application, sale: Sale) -> SaleView:
    """A sale as it is now."""
    settings = app[SETTINGS]
    return SaleView(
        sku=sale.sku,
        state=sale_state(sale, time.time()),
        stock=sale.stock,
        sold=sale.sold,
        remaining=sale.remaining,
        customer_limit=sale.customer_limit,
        opens_at=_moment(sale.opens_at),
        closes_at=_moment(sale.closes_at),
        backlog=app[BACKLOG].ready,
        backlog_limit=settings.queue_max_length,
        drain_rate=settings.drain_rate,
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
