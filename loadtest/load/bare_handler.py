"""A bare aiohttp handler as the upper limit: it decodes the order and answers the same 202."""

import sys

import msgspec
import uvloop
from aiohttp import web

from flashsale.domain.orders import OrderRequest

_decode = msgspec.json.Decoder(OrderRequest).decode
_encode = msgspec.json.Encoder().encode


async def accept(request: web.Request) -> web.Response:
    """Answer like the gateway, without a broker."""
    order = _decode(await request.read())
    body = {
        "order_id": "0" * 32,
        "status": "queued",
        "position": order.quantity,
        "eta_seconds": 0.5,
    }
    return web.Response(
        body=_encode(body),
        status=202,
        headers={"Content-Type": "application/json", "Location": "/orders/" + "0" * 32},
    )


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/orders", accept)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
