"""`GET /orders/{id}`: the state of an order, at once or as soon as it is decided."""

import asyncio
import re
from contextlib import suppress
from typing import Literal

import msgspec
from aiohttp import web

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.ledger import LedgerError
from flashsale.messages.announcements import decision_on
from gateway.context import CONTEXT, Context
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.openapi.operation import Answer, Operation, Parameter
from gateway.state.announcements import ANNOUNCE_SECONDS
from gateway.state.orders import KnownOrder

_ORDER_ID = re.compile(r"[0-9a-f]{32}\Z")
# RFC 7240: a list of preferences, names in any case, values bare or quoted.
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)
# Another gateway may have taken an order just now: its announcement is here after this time.
_ANNOUNCED_SECONDS = 3 * ANNOUNCE_SECONDS
_encode = msgspec.json.Encoder().encode


class QueuedView(msgspec.Struct, omit_defaults=True):
    """An order that waits. `position` 1 is next; `eta_seconds` is null if nothing moves.

    `paused` is there while an operator has paused the drain.
    """

    order_id: str
    status: Status
    position: int
    eta_seconds: float | None
    paused: bool = False


class DecidedView(msgspec.Struct, omit_defaults=True):
    """An order that is decided."""

    order_id: str
    status: Status
    reason: str | None = None
    sku: str | None = None
    quantity: int | None = None
    remaining: int | None = None


def order_view(context: Context, order: KnownOrder) -> QueuedView | DecidedView:
    """Return an order as its shopper sees it."""
    if order.status is Status.QUEUED:
        position = context.queue_position.of(order.number)
        eta = context.queue_position.eta_seconds(position, context.backlog.consumers)
        return QueuedView(order.order_id, order.status, position, eta, context.drain.paused)
    return DecidedView(
        order.order_id,
        order.status,
        order.reason,
        order.sku or None,
        order.quantity or None,
        order.remaining,
    )


class DecidedReceipt(DecidedView, kw_only=True):
    """The answer to a retry of an order that is decided."""

    position: Literal[0]
    eta_seconds: float


def encode_receipt(context: Context, order: KnownOrder) -> bytes:
    """Return the body of a 202. The position is 0 if a retry finds the order decided."""
    view = order_view(context, order)
    if isinstance(view, DecidedView):
        view = DecidedReceipt(**msgspec.structs.asdict(view), position=0, eta_seconds=0.0)
    return _encode(view)


async def get_order(request: web.Request) -> JsonResponse:
    """Answer with the order's state. With `Prefer: wait=N` wait up to N s for the decision."""
    context = request.app[CONTEXT]
    order = await find_order(request)
    headers: dict[str, str] = {}
    wait = _preferred_wait(request)
    if wait is not None:
        seconds = min(wait, context.settings.wait_seconds)
        headers["Preference-Applied"] = f"wait={seconds:g}"
        if order.status is Status.QUEUED:
            # A gateway that is told to stop answers with the present state.
            with context.lifecycle.until_stopped() as stopped:
                await asyncio.wait(
                    (order.decision(), stopped),
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
    owner = None if context.identity is None else context.identity.customer(request)
    order_id = OrderId(request.match_info["order_id"])
    order, source = _owned(context.orders.get(order_id), owner), "memory"
    if order is None and _ORDER_ID.match(order_id):
        order, source = await _look_up(context, order_id, owner), "ledger"
    elif order is not None and order.status is Status.FAILED:
        # An operator may have replayed it, and the announcement of its outcome may be lost.
        with suppress(Problem):
            order, source = await _look_up(context, order_id, owner) or order, "ledger"
    if order is None:
        context.metrics.polls.labels("nowhere").inc()
        raise Problem("unknown-order", "No order of this id is known here.")
    context.metrics.polls.labels(source).inc()
    return order


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


def _preferred_wait(request: web.Request) -> int | None:
    preferences = ",".join(request.headers.getall("Prefer", ()))
    found = _WAIT.search(preferences)
    return None if found is None else int(found[1])


ROUTES = [web.get("/orders/{order_id}", get_order)]

OPERATIONS = {
    "GET /orders/{order_id}": Operation(
        "getOrder",
        "Tell the state of an order",
        {200: Answer("The state of the order.", (QueuedView, DecidedView))},
        ("unknown-order", "ledger-unavailable"),
        parameters=(
            Parameter(
                "Prefer",
                "header",
                "`wait=20` answers once the order is decided, or after 20 s (RFC 7240).",
            ),
        ),
        access="shopper",
    )
}
