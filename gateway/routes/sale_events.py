"""`GET /sales/{sku}/events`: a sale and its changes, as a stream."""

import msgspec
from aiohttp import web

from gateway.context import CONTEXT, Context
from gateway.http.sse import event
from gateway.openapi.operation import Answer, Operation
from gateway.routes.sales import SaleView, find_sale, sale_view
from gateway.routes.streams import listen, open_stream
from gateway.state.stream_changes import EVERY_SALE

_TOPIC_PREFIX = "sale "
_encode = msgspec.json.Encoder().encode


async def get_sale_events(request: web.Request) -> web.StreamResponse:
    """Stream the sale as it is now, and again after each change."""
    context = request.app[CONTEXT]
    sale = await find_sale(request)
    stream = await open_stream(request)
    if request.method == "HEAD":
        return stream
    stream.send(event("sale", _encode(sale_view(context, sale))))
    await listen(context, _TOPIC_PREFIX + sale.sku, stream)
    return stream


async def tell_sales(context: Context) -> None:
    """Keep telling the streams of each sale what changed; a new state is told at once."""
    streams = context.streams

    async def tell(sku: str) -> bool:
        if sku == EVERY_SALE:
            for watched in streams.topics():
                if watched.startswith(_TOPIC_PREFIX):
                    context.changes.sale_changed(watched.removeprefix(_TOPIC_PREFIX))
            return True
        topic = _TOPIC_PREFIX + sku
        sale = context.sales.get(sku)
        if sale is None or not streams.has(topic):
            return False
        await streams.broadcast(topic, event("sale", _encode(sale_view(context, sale))))
        return True

    await context.changes.sales.follow(tell)


ROUTES = [web.get("/sales/{sku}/events", get_sale_events)]

OPERATIONS = {
    "GET /sales/{sku}/events": Operation(
        "getSaleEvents",
        "Stream a sale and its changes",
        {
            200: Answer(
                "Server-sent events, one for each change.",
                content_type="text/event-stream",
                events={"sale": SaleView},
            )
        },
        ("unknown-sku", "too-many-streams", "ledger-unavailable"),
    )
}
