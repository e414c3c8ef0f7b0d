"""The HTTP addresses: one file each, with its `ROUTES`, and `OPERATIONS`, which describe them."""

from aiohttp import web

from gateway.context import CONTEXT
from gateway.openapi.operation import Operations
from gateway.routes import (
    admin,
    description,
    health,
    holds,
    ops,
    order_events,
    order_status,
    orders,
    pages,
    ranking,
    sale_events,
    sales,
)
from gateway.routes.holds import demo_payments

_ADDRESSES = (
    orders,
    order_status,
    order_events,
    holds,
    sales,
    sale_events,
    ranking,
    pages,
    ops,
    admin,
    health,
    description,
)

OPERATIONS: Operations = {
    address: operation
    for addresses in _ADDRESSES
    for address, operation in addresses.OPERATIONS.items()
}
"""All operations, in the order in which the document lists them."""


def add_routes(app: web.Application) -> None:
    """Add every route that the gateway has with its settings."""
    for addresses in _ADDRESSES:
        app.add_routes(addresses.ROUTES)
    if app[CONTEXT].settings.demonstrates_payments:
        app.add_routes(demo_payments.ROUTES)
    app[description.DOCUMENTS] = description.Documents(OPERATIONS, app[CONTEXT].settings)
