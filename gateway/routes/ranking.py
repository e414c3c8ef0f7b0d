"""`GET /sales/{sku}/ranking`: the customers who bought the most."""

import re

import msgspec
from aiohttp import web

from flashsale.ledger import LedgerError
from gateway.context import CONTEXT
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.openapi.operation import Answer, Operation
from gateway.openapi.parameters import limit as limited_to
from gateway.routes.sales import find_sale
from gateway.state.rankings import MOST_RANKED

_LIMIT = re.compile(r"[0-9]{1,3}\Z")
_encode = msgspec.json.Encoder().encode


class RankedBuyerView(msgspec.Struct):
    """One place in the ranking of a sale."""

    rank: int
    customer_id: str
    items: int


class RankingView(msgspec.Struct):
    """The customers who bought the most of a sale, the best first."""

    sku: str
    ranking: list[RankedBuyerView]


async def get_ranking(request: web.Request) -> JsonResponse:
    """Answer with the top `?limit=` buyers, ten if it is not given."""
    sale = await find_sale(request)
    limit = request.query.get("limit", "10")
    if not (_LIMIT.match(limit) and 1 <= int(limit) <= MOST_RANKED):
        raise Problem("bad-request", f"limit is a number from 1 to {MOST_RANKED}.")
    try:
        buyers = await request.app[CONTEXT].rankings.top(sale.sku)
    except LedgerError as error:
        raise Problem("ledger-unavailable", "Try again.", retry_after=1) from error
    ranked = [
        RankedBuyerView(rank, buyer.customer_id, buyer.bought)
        for rank, buyer in enumerate(buyers[: int(limit)], start=1)
    ]
    return JsonResponse(_encode(RankingView(sale.sku, ranked)))


ROUTES = [web.get("/sales/{sku}/ranking", get_ranking)]

OPERATIONS = {
    "GET /sales/{sku}/ranking": Operation(
        "getRanking",
        "List the customers who bought the most",
        {200: Answer("The ranking, at most a second old.", (RankingView,))},
        ("unknown-sku", "ledger-unavailable"),
        parameters=(limited_to(MOST_RANKED, 10, "customers"),),
    )
}
