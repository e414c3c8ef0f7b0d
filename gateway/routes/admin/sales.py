"""`/admin/sales`: list, create, change and delete sales."""

import re
from functools import partial
from typing import overload

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from flashsale.domain.operators.sale_changes import TermsChange
from flashsale.domain.operators.sale_terms import require_new
from flashsale.domain.orders import SKU_PATTERN
from flashsale.domain.sales import Sale
from gateway.context import CONTEXT
from gateway.http.idempotency_key import idempotency_key
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.openapi.operation import ENTITY_TAG, Answer, Body, Operation
from gateway.openapi.parameters import IDEMPOTENCY_KEY, IF_MATCH, REASON
from gateway.openapi.terms import (
    Address,
    Currency,
    HoldSeconds,
    Items,
    ItemsEach,
    Moment,
    Price,
    SaleSku,
    Text,
    Title,
    Waitlist,
)
from gateway.routes.admin.access import author, operators, viewers
from gateway.routes.admin.changes import (
    OF_BODIES,
    OF_VERSIONS,
    change_problems,
    moment_of,
    patch_of,
    read_change,
    seen_version,
)
from gateway.routes.admin.sale_view import (
    ONE_SALE,
    ManagedSalesView,
    ManagedSaleView,
    managed_view,
    sale_response,
    tell_change,
)

_SKU = re.compile(SKU_PATTERN)
_encode = msgspec.json.Encoder().encode


class NewSale(msgspec.Struct, forbid_unknown_fields=True):
    """A sale to create. Without `opens_at` it is open at once, without `closes_at` for good.

    The stock is null if it is the shop's: then the order service at `FLASHSALE_SINK_URL` decides.
    """

    sku: SaleSku
    stock: Items | None
    customer_limit: ItemsEach | None = None
    opens_at: Moment | None = None
    closes_at: Moment | None = None
    title: Title | None = None
    price: Price | None = None
    currency: Currency | None = None
    picture_url: Address | None = None
    needs_pass: bool = False
    hold_seconds: HoldSeconds | None = None
    waitlist: Waitlist | None = None
    cancellable: bool = False
    extendable: bool = False
    reason: Text | None = None


class SalePatch(msgspec.Struct, forbid_unknown_fields=True):
    """A change of terms (RFC 7396): null removes a term, a term that is absent stays."""

    customer_limit: ItemsEach | UnsetType | None = UNSET
    opens_at: Moment | UnsetType | None = UNSET
    closes_at: Moment | UnsetType | None = UNSET
    title: Title | UnsetType | None = UNSET
    price: Price | UnsetType | None = UNSET
    currency: Currency | UnsetType | None = UNSET
    picture_url: Address | UnsetType | None = UNSET
    needs_pass: bool | UnsetType | None = UNSET
    hold_seconds: HoldSeconds | UnsetType | None = UNSET
    waitlist: Waitlist | UnsetType | None = UNSET
    cancellable: bool | UnsetType | None = UNSET
    extendable: bool | UnsetType | None = UNSET
    reason: Text | None = None


async def get_sales(request: web.Request) -> JsonResponse:
    """Answer with all sales, as they are in the database."""
    context = request.app[CONTEXT]
    with change_problems():
        sales = await context.managed_sales.sales()
    return JsonResponse(_encode(ManagedSalesView([managed_view(context, sale) for sale in sales])))


async def get_sale(request: web.Request) -> JsonResponse:
    """Answer with one sale, as it is in the database."""
    context = request.app[CONTEXT]
    with change_problems():
        sale = await context.managed_sales.find_sale(sku_of(request))
    return sale_response(context, sale)


async def post_sale(request: web.Request) -> JsonResponse:
    """Create a sale. A repeated request with its `Idempotency-Key` creates it once."""
    context = request.app[CONTEXT]
    key = idempotency_key(request)
    wanted = await read_change(request, NewSale)
    sale = Sale(
        sku=wanted.sku,
        stock=wanted.stock,
        customer_limit=wanted.customer_limit,
        opens_at=_given_moment("opens_at", wanted.opens_at),
        closes_at=_given_moment("closes_at", wanted.closes_at),
        title=wanted.title,
        price=wanted.price,
        currency=wanted.currency,
        picture_url=wanted.picture_url,
        needs_pass=wanted.needs_pass,
        hold_seconds=wanted.hold_seconds,
        waitlist=wanted.waitlist,
        cancellable=wanted.cancellable,
        extendable=wanted.extendable,
    )
    who = author(request, wanted.reason, key)
    with change_problems():
        check = partial(require_new, delivers=context.settings.sink_url is not None)
        created = await context.managed_sales.create_sale(sale, who, check)
    await tell_change(context)
    location = f"{context.public_path.of(request)}/admin/sales/{created.sku}"
    return sale_response(context, created, 201, {"Location": location})


async def patch_sale(request: web.Request) -> JsonResponse:
    """Change the terms of a sale. Every change is audited."""
    context = request.app[CONTEXT]
    sku, version = sku_of(request), seen_version(request)
    wanted = await read_change(request, SalePatch)
    change = TermsChange(
        opens_at=_given_moment("opens_at", wanted.opens_at),
        closes_at=_given_moment("closes_at", wanted.closes_at),
        customer_limit=wanted.customer_limit,
        title=wanted.title,
        price=wanted.price,
        currency=wanted.currency,
        picture_url=wanted.picture_url,
        needs_pass=False if wanted.needs_pass is None else wanted.needs_pass,
        hold_seconds=wanted.hold_seconds,
        waitlist=wanted.waitlist,
        cancellable=False if wanted.cancellable is None else wanted.cancellable,
        extendable=False if wanted.extendable is None else wanted.extendable,
        delivers=context.settings.sink_url is not None,
    )
    with change_problems():
        changed = await context.managed_sales.change_sale(
            sku, change, author(request, wanted.reason), version
        )
    await tell_change(context)
    return sale_response(context, changed)


async def delete_sale(request: web.Request) -> JsonResponse:
    """Delete a sale that never sold, for the `?reason=` of the operator."""
    context = request.app[CONTEXT]
    sku, version = sku_of(request), seen_version(request)
    with change_problems():
        await context.managed_sales.delete_sale(
            sku, author(request, request.query.get("reason")), version
        )
    await tell_change(context)
    return JsonResponse(b"", 204)


def sku_of(request: web.Request) -> str:
    """Return the sku that the path names. Raises `Problem` if no sale can have it."""
    sku = request.match_info["sku"]
    if not _SKU.match(sku):
        raise Problem("unknown-sku", "There is no sale of this sku.")
    return sku


@overload
def _given_moment(field: str, text: str | None) -> float | None: ...


@overload
def _given_moment(field: str, text: str | UnsetType | None) -> float | UnsetType | None: ...


def _given_moment(field: str, text: str | UnsetType | None) -> float | UnsetType | None:
    return moment_of(field, text) if isinstance(text, str) else text


ROUTES = [
    web.get("/admin/sales", viewers(get_sales)),
    web.post("/admin/sales", operators(post_sale)),
    web.get("/admin/sales/{sku}", viewers(get_sale)),
    web.patch("/admin/sales/{sku}", operators(patch_sale)),
    web.delete("/admin/sales/{sku}", operators(delete_sale)),
]

OPERATIONS = {
    "GET /admin/sales": Operation(
        "listManagedSales",
        "List all sales as the database has them",
        {200: Answer("All sales.", (ManagedSalesView,))},
        ("ledger-unavailable",),
        access="viewer",
    ),
    "POST /admin/sales": Operation(
        "createSale",
        "Create a sale",
        {
            201: Answer(
                "The sale was created.",
                (ManagedSaleView,),
                headers={**ENTITY_TAG, "Location": "The address of the sale."},
            )
        },
        (*OF_BODIES, "bad-idempotency-key", "conflict", "key-reused", "ledger-unavailable"),
        parameters=(IDEMPOTENCY_KEY,),
        body=Body(NewSale),
        access="operator",
    ),
    "GET /admin/sales/{sku}": Operation(
        "getManagedSale",
        "Tell a sale as the database has it",
        {200: ONE_SALE},
        ("unknown-sku", "ledger-unavailable"),
        access="viewer",
    ),
    "PATCH /admin/sales/{sku}": Operation(
        "patchSale",
        "Change the terms of a sale",
        {200: ONE_SALE},
        (*OF_BODIES, *OF_VERSIONS, "unknown-sku", "conflict", "ledger-unavailable"),
        parameters=(IF_MATCH,),
        body=patch_of(SalePatch),
        access="operator",
    ),
    "DELETE /admin/sales/{sku}": Operation(
        "deleteSale",
        "Delete a sale that never sold",
        {204: Answer("The sale is deleted.", content_type=None)},
        (*OF_VERSIONS, "invalid-change", "unknown-sku", "sale-has-sold", "ledger-unavailable"),
        parameters=(IF_MATCH, REASON),
        access="operator",
    ),
}
