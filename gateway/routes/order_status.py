"""`GET /orders/{id}`: the state of an order, at once or as soon as it is decided."""

import asyncio
import re
from contextlib import suppress

import msgspec
from aiohttp import web

from flashsale.domain.order_ids import OrderId, is_order_id
from flashsale.domain.order_states import OPEN, Status
from flashsale.ledger import LedgerError
from flashsale.messages.announcements import decision_on
from gateway.context import CONTEXT, Context
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.openapi.operation import Answer, Operation, Parameter
from gateway.routes.order_views import VIEWS, order_view
from gateway.state.announcements import LONGEST_ANNOUNCE_SECONDS
from gateway.state.orders import KnownOrder

# RFC 7240: a list of preferences, names in any case, values bare or quoted.
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)
_SEEN = re.compile(r"[,;]\s*seen\s*=\s*\"?([a-z]{1,16})\"?\s*(?=$|[,;])", re.IGNORECASE)
# Another gateway may have taken an order just now: its announcement is here after this time.
_ANNOUNCED_SECONDS = 2 * LONGEST_ANNOUNCE_SECONDS
_encode = msgspec.json.Encoder().encode


async def get_order(request: web.Request) -> JsonResponse:
    """Answer with the order's state. With `Prefer: wait=N` wait up to N s for the next one.

    With `Prefer: wait=N; seen=held` an order in another state than that is told at once, so that a
    client misses none between two requests.

    An order that is over has no next state as a rule, so nobody waits for it.
    """
    context = request.app[CONTEXT]
    order = await find_order(request)
    headers: dict[str, str] = {}
    preferences = ",".join(request.headers.getall("Prefer", ()))
    wait = _preferred_wait(preferences)
    if wait is not None:
        seconds = min(wait, context.settings.wait_seconds)
        headers["Preference-Applied"] = f"wait={seconds:g}"
        seen = _SEEN.search(preferences)
        if order.status in OPEN and (seen is None or seen[1] == order.status):
            # A gateway that is told to stop answers with the present state.
            with context.lifecycle.until_stopped() as stopped:
                await asyncio.wait(
                    (order.change(), stopped),
                    timeout=seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
    return JsonResponse(_encode(order_view(context, order)), headers=headers)


async def find_order(request: web.Request) -> KnownOrder:
    """Return the order that the path names, from memory or the ledger. Raises `Problem`.

    If shoppers have tokens, an order of another one is looked for and not found, as if there were
    none.
    """
    context = request.app[CONTEXT]
    return await find_known_order(context, request.match_info["order_id"], owner_of(request))


def owner_of(request: web.Request) -> str | None:
    """Return the customer whose orders a request may see; None for anybody's. Raises `Problem`."""
    identity = request.app[CONTEXT].identity
    return None if identity is None else identity.customer(request)


async def find_known_order(context: Context, named: str, owner: str | None = None) -> KnownOrder:
    """Return the order of that id, from memory or the ledger. Raises `Problem`.

    An order that is not the owner's is not found; None finds anybody's.
    """
    order_id = OrderId(named)
    order, source = _owned(context.orders.get(order_id), owner), "memory"
    if order is None and is_order_id(order_id):
        order, source = await _look_up(context, order_id, owner), "ledger"
    elif order is not None and _may_be_outdated(context, order):
        with suppress(Problem):
            order, source = await _look_up(context, order_id, owner) or order, "ledger"
    if order is None:
        context.metrics.polls.labels("nowhere").inc()
        raise Problem("unknown-order", "No order of this id is known here.")
    context.metrics.polls.labels(source).inc()
    return order


def _may_be_outdated(context: Context, order: KnownOrder) -> bool:
    """Return whether an order that is over may have another state, whose announcement is lost."""
    if order.status is Status.FAILED:
        return True  # an operator may have replayed it
    if order.status not in (Status.EXPIRED, Status.CONFIRMED):
        return False
    if order.known_at >= context.orders.complete_since:
        return False  # no announcement about it is lost
    if order.status is Status.EXPIRED:
        return True  # it may have been paid late
    sale = context.sales.get(order.sku)
    return sale is not None and sale.cancellable


def _owned(order: KnownOrder | None, owner: str | None) -> KnownOrder | None:
    """Return the order if it is this customer's, or anybody's if `owner` is None."""
    return order if order is None or owner in (None, order.customer_id) else None


async def _look_up(context: Context, order_id: OrderId, owner: str | None) -> KnownOrder | None:
    try:
        outcome = await context.ledger_lookup.find(order_id)
    except LedgerError as error:
        raise Problem("ledger-unavailable", "Try again.", retry_after=1) from error
    if outcome is None or owner not in (None, outcome.order.customer_id):
        await asyncio.sleep(_ANNOUNCED_SECONDS)
        return _owned(context.orders.get(order_id), owner)
    return context.orders.add_decided(decision_on(outcome))


def _preferred_wait(preferences: str) -> int | None:
    found = _WAIT.search(preferences)
    return None if found is None else int(found[1])


ROUTES = [web.get("/orders/{order_id}", get_order)]

OPERATIONS = {
    "GET /orders/{order_id}": Operation(
        "getOrder",
        "Tell the state of an order",
        {200: Answer("The state of the order.", VIEWS)},
        ("unknown-order", "ledger-unavailable"),
        parameters=(
            Parameter(
                "Prefer",
                "header",
                "`wait=20` answers once the order has another state, or after 20 s (RFC 7240);"
                " `wait=20; seen=held` at once if the order is not in the state `held`.",
            ),
        ),
        access="shopper",
    )
}
