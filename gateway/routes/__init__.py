"""The HTTP addresses: one file each, with a list of routes named `ROUTES`."""

from aiohttp import web

from gateway.routes import (
    admin,
    health,
    ops,
    order_events,
    order_status,
    orders,
    pages,
    ranking,
    sale_events,
    sales,
)


def add_routes(app: web.Application) -> None:
    """Add every route of the gateway."""
    app.add_routes(orders.ROUTES)
    app.add_routes(order_status.ROUTES)
    app.add_routes(order_events.ROUTES)
    app.add_routes(sales.ROUTES)
    app.add_routes(sale_events.ROUTES)
    app.add_routes(ranking.ROUTES)
    app.add_routes(pages.ROUTES)
    app.add_routes(ops.ROUTES)
    app.add_routes(admin.ROUTES)
    app.add_routes(health.ROUTES)
