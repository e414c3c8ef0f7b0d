"""`GET /sales`, `GET /sales/{sku}` and `GET /sales/{sku}/ranking`."""

import re
import time
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from flashsale.domain.sales import Sale, SaleState, sale_state
from flashsale.ledger import LedgerError
from gateway.context import BACKLOG, CATALOGUE, LISTING, RANKINGS, SETTINGS
from gateway.http.json_response import Answer
from gateway.http.problems import Problem
from gateway.state.rankings import MOST_RANKED

_LIMIT = re.compile(r"[0-9]{1,3}\Z")
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


class RankedBuyer(msgspec.Struct):
    """A place in the ranking of a sale."""

    rank: int
    customer_id: str
    items: int


async def get_sales(request: web.Request) -> Answer:
    """Tell of all sales."""
    app = request.app
    body = app[LISTING].read(
        time.monotonic(),
        lambda: _encode({"sales": [sale_view(app, sale) for sale in app[CATALOGUE]]}),
    )
    return _answer(body)


async def get_sale(request: web.Request) -> Answer:
    """Tell of one sale."""
    return _json(sale_view(request.app, await find_sale(request)))


async def get_ranking(request: web.Request) -> Answer:
    """Tell who bought the most of a sale: `?limit=` of them, ten if it is not given."""
    sale = await find_sale(request)
    wanted = request.query.get("limit", "10")
    if not (_LIMIT.match(wanted) and 1 <= int(wanted) <= MOST_RANKED):
        raise Problem("bad-request", f"limit is a number from 1 to {MOST_RANKED}.")
    try:
        buyers = await request.app[RANKINGS].top(sale.sku)
    except LedgerError as error:
        raise Problem("ledger-unavailable", "Try again.", retry_after=1) from error
    ranked = [
        RankedBuyer(rank, buyer.customer_id, buyer.bought)
        for rank, buyer in enumerate(buyers[: int(wanted)], start=1)
    ]
    return _json({"sku": sale.sku, "ranking": ranked})


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
    return _answer(_encode(value))


def _answer(body: bytes) -> Answer:
    return Answer(body, headers={"Cache-Control": "no-store"})


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
