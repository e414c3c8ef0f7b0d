"""`GET /orders/{id}`: what became of an order, at once or as soon as it is decided."""

import asyncio
import re
from contextlib import suppress

import msgspec
from aiohttp import web

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.ledger import LedgerError
from gateway.context import BACKLOG, LIFECYCLE, LINE, LOOKUP, MEMORY, METRICS, SETTINGS
from gateway.http.json_response import Answer
from gateway.http.problems import Problem
from gateway.state.announcements import TELL_SECONDS
from gateway.state.orders import Known

_ORDER_ID = re.compile(r"[0-9a-f]{32}\Z")
# RFC 7240: a list of preferences, names in any case, values bare or quoted.
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)
# Another gateway may have taken an order just now, and tell of it in a moment.
_NEWS_SECONDS = 3 * TELL_SECONDS
_encode = msgspec.json.Encoder().encode


class Queued(msgspec.Struct):
    """An order that waits. `position` 1 is next; `eta_seconds` is null if nobody drains."""

    order_id: str
    status: str
    position: int
    eta_seconds: float | None


class Decided(msgspec.Struct, omit_defaults=True):
    """An order that waits no more."""

    order_id: str
    status: str
    reason: str | None = None
    sku: str | None = None
    quantity: int | None = None


def view(app: web.Application, known: Known) -> Queued | Decided:
    """An order as its shopper sees it."""
    if known.status is Status.QUEUED:
        position = app[LINE].position(known.number)
        eta = app[LINE].eta_seconds(position, app[BACKLOG].consumers)
        return Queued(known.order_id, known.status, position, eta)
    return Decided(
        known.order_id, known.status, known.reason, known.sku or None, known.quantity or None
    )


def receipt(app: web.Application, known: Known) -> bytes:
    """The answer to an order: its place in line, 0 if a retry finds it decided."""
    seen = view(app, known)
    if isinstance(seen, Decided):
        seen = Queued(known.order_id, known.status, 0, 0.0)
    return _encode(seen)


async def get_order(request: web.Request) -> Answer:
    """Tell what became of an order. With `Prefer: wait=N`, once it is decided or N seconds on."""
    app = request.app
    known = await find_order(request)
    headers = {"Cache-Control": "no-store"}
    wait = _preferred_wait(request)
    if wait is not None:
        seconds = min(wait, app[SETTINGS].wait_seconds)
        headers["Preference-Applied"] = f"wait={seconds:g}"
        if known.status is Status.QUEUED:
            # A gateway that stops answers with what it knows.
            with app[LIFECYCLE].until_stopped() as stopped:
                await asyncio.wait(
                    (known.decision(), stopped),
                    timeout=seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
    return Answer(_encode(view(app, known)), headers=headers)


async def find_order(request: web.Request) -> Known:
    """The order that a path names: from memory, else from the ledger. Raises `Problem`."""
    app = request.app
    order_id = OrderId(request.match_info["order_id"])
    known, source = app[MEMORY].get(order_id), "memory"
    if known is None and _ORDER_ID.match(order_id):
        known, source = await _look_up(app, order_id), "ledger"
    elif known is not None and known.status is Status.FAILED:
        # An operator may have had it tried again, and the word of what came of it may be lost.
        with suppress(Problem):
            known, source = await _look_up(app, order_id) or known, "ledger"
    if known is None:
        app[METRICS].polls.labels("nowhere").inc()
        raise Problem("unknown-order", "No order of this id is known here.")
    app[METRICS].polls.labels(source).inc()
    return known


async def _look_up(app: web.Application, order_id: OrderId) -> Known | None:
    try:
        outcome = await app[LOOKUP].find(order_id)
    except LedgerError as error:
        raise Problem("ledger-unavailable", "Try again.", retry_after=1) from error
    if outcome is None:
        await asyncio.sleep(_NEWS_SECONDS)
        return app[MEMORY].get(order_id)
    order = outcome.order
    return app[MEMORY].decided(order_id, outcome.status, outcome.reason, order.sku, order.quantity)


def _preferred_wait(request: web.Request) -> int | None:
    preferences = ",".join(request.headers.getall("Prefer", ()))
    found = _WAIT.search(preferences)
    return None if found is None else int(found[1])
