"""A sale as operators see it: what is in the database, at the version that it has."""

import msgspec

from flashsale.domain.sales import Sale
from flashsale.domain.shown_terms import shown_terms
from gateway.context import Context
from gateway.http.json_response import JsonResponse
from gateway.openapi.operation import ENTITY_TAG, Answer
from gateway.routes.admin.changes import entity_tag
from gateway.routes.sale_terms import SaleTerms

_encode = msgspec.json.Encoder().encode


class ManagedSaleView(SaleTerms):
    """A sale as operators see it."""

    version: int


class ManagedSalesView(msgspec.Struct):
    """All sales."""

    sales: list[ManagedSaleView]


def managed_view(context: Context, sale: Sale) -> ManagedSaleView:
    """Return a sale as operators see it now."""
    return ManagedSaleView(**shown_terms(sale, context.drain.now()), version=sale.version)


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


ONE_SALE = Answer("The sale as it is now.", (ManagedSaleView,), headers=ENTITY_TAG)
