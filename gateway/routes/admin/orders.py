"""`GET /admin/orders`: decided orders by customer, sale and status, the newest decision first."""

import base64
import binascii
from datetime import datetime

import msgspec
from aiohttp import web

from flashsale.domain.customers import normal_customer_id
from flashsale.domain.moments import moment_at
from flashsale.domain.order_states import DECIDED, DeliveryState, Status
from flashsale.domain.orders import SKU_PATTERN, CustomerId, Sku
from flashsale.ledger import DecidedOrder, OrderQuery
from gateway.context import CONTEXT
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.openapi.operation import Answer, Operation, Parameter
from gateway.routes.admin.access import viewers
from gateway.routes.admin.changes import change_problems
from gateway.routes.admin.pages import CURSOR, LIMIT, page_size

_LONGEST_CURSOR = 200
_encode = msgspec.json.Encoder().encode
_decode_cursor = msgspec.json.Decoder(tuple[float, str]).decode


class OrderEntry(msgspec.Struct):
    """An order in the ledger. A failed order may have an id only.

    `delivery` and what follows are of orders that were sent to the order service of the shop.
    """

    order_id: str
    status: Status
    reason: str | None
    sku: str | None
    customer_id: str | None
    quantity: int | None
    remaining: int | None
    accepted_at: datetime | None
    decided_at: datetime
    order_ref: str | None
    delivery: DeliveryState | None
    delivery_attempts: int | None
    delivery_reason: str | None
    expires_at: datetime | None
    """When the hold of the order ends, or has ended; null if it held nothing."""
    place: int | None
    """The number of the order in the waiting list of its sale, if it has waited."""


class OrderPage(msgspec.Struct):
    """Orders, the newest decision first. `next` is the cursor of the next page, null at the end."""

    orders: list[OrderEntry]
    next: str | None


class _Filters(msgspec.Struct):
    sku: Sku | None = None
    customer_id: CustomerId | None = None


async def get_orders(request: web.Request) -> JsonResponse:
    """Answer with a page: `?limit=` orders after `?cursor=`."""
    context = request.app[CONTEXT]
    limit = page_size(request)
    filters = _filters(request, casefold=context.settings.customer_id_casefold)
    query = OrderQuery(
        limit + 1, _after(request), filters.customer_id, filters.sku, _status(request)
    )
    with change_problems():
        found = await context.order_pages.decided_orders(query)
    orders = found[:limit]
    more = _cursor(orders[-1]) if len(found) > limit else None
    return JsonResponse(_encode(OrderPage([_entry(order) for order in orders], more)))


def _filters(request: web.Request, *, casefold: bool) -> _Filters:
    given = {name: request.query[name] for name in ("sku", "customer_id") if name in request.query}
    if "customer_id" in given:
        given["customer_id"] = normal_customer_id(given["customer_id"], casefold=casefold)
    try:
        return msgspec.convert(given, _Filters)
    except msgspec.ValidationError as error:
        raise Problem("bad-request", f"{error}.") from error


def _status(request: web.Request) -> Status | None:
    given = request.query.get("status")
    if given is None:
        return None
    if given not in tuple(map(str, DECIDED)):
        # Orders that wait are in the queue, not in the database.
        raise Problem("bad-request", f"status is one of {', '.join(DECIDED)}.")
    return Status(given)


def _after(request: web.Request) -> tuple[float, str] | None:
    given = request.query.get("cursor")
    if given is None:
        return None
    try:
        if len(given) > _LONGEST_CURSOR or not given.isascii():
            raise ValueError
        decided_at, order_id = _decode_cursor(base64.b64decode(given, b"-_", validate=True))
        if not order_id.isalnum():
            raise ValueError
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise Problem("bad-request", "cursor is the `next` of a page before.") from error
    return decided_at, order_id


def _cursor(order: DecidedOrder) -> str:
    return base64.urlsafe_b64encode(_encode((order.decided_at, order.id))).decode()


def _entry(order: DecidedOrder) -> OrderEntry:
    return OrderEntry(
        order_id=order.id,
        status=order.status,
        reason=order.reason,
        sku=order.sku,
        customer_id=order.customer_id,
        quantity=order.quantity,
        remaining=order.remaining,
        accepted_at=moment_at(order.accepted_at),
        decided_at=moment_at(order.decided_at),
        order_ref=order.order_ref,
        delivery=order.delivery,
        delivery_attempts=order.delivery_attempts,
        delivery_reason=order.delivery_reason,
        expires_at=moment_at(order.expires_at),
        place=order.place,
    )


ROUTES = [web.get("/admin/orders", viewers(get_orders))]

OPERATIONS = {
    "GET /admin/orders": Operation(
        "listOrders",
        "List decided orders",
        {200: Answer("A page, the newest decision first.", (OrderPage,))},
        ("ledger-unavailable",),
        parameters=(
            Parameter(
                "sku", "query", "Only of this sale.", {"type": "string", "pattern": SKU_PATTERN}
            ),
            Parameter(
                "customer_id", "query", "Only of this customer.", msgspec.json.schema(CustomerId)
            ),
            Parameter(
                "status",
                "query",
                "Only in this state.",
                {"type": "string", "enum": list(map(str, DECIDED))},
            ),
            LIMIT,
            CURSOR,
        ),
        access="viewer",
    )
}
