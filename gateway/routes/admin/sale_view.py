"""A sale as operators see it: what is in the database, at the version that it has."""

from datetime import UTC, datetime

import msgspec

from flashsale.domain.sales import Sale, SaleState, sale_state
from gateway.context import Context
from gateway.http.json_response import JsonResponse
from gateway.openapi.operation import ENTITY_TAG, Answer
from gateway.routes.admin.changes import entity_tag

_encode = msgspec.json.Encoder().encode


class ManagedSaleView(msgspec.Struct):
    """A sale and its version. Stock and limit are in items."""

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
    version: int


class ManagedSalesView(msgspec.Struct):
    """All sales."""

    sales: list[ManagedSaleView]


def managed_view(context: Context, sale: Sale) -> ManagedSaleView:
    """Return a sale as operators see it now."""
    return ManagedSaleView(
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
        version=sale.version,
    )


def sale_response(
    context: Context, sale: Sale, status: int = 200, headers: dict[str, str] | None = None
) -> JsonResponse:
    """Return the answer with one sale, and its version as `ETag`."""
    body = _encode(managed_view(context, sale))
    return JsonResponse(body, status, entity_tag(sale.version) | (headers or {}))


async def tell_change(context: Context) -> None:
    """Have every gateway read the sales soon, this one too. Shoppers know within a second."""
    context.sales.read_soon()
    await context.announcements.announce_terms()


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


ONE_SALE = Answer("The sale as it is now.", (ManagedSaleView,), headers=ENTITY_TAG)
