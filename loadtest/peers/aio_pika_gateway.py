"""A gateway by aiohttp and aio-pika: `python -m loadtest.peers.aio_pika_gateway PORT`."""

import os
import sys
import time
import uuid
from collections.abc import AsyncIterator

import aio_pika
import uvloop
from aio_pika.abc import AbstractChannel
from aiohttp import web
from pydantic import ValidationError

from loadtest.peers.shop import Order, OrderRequest, Receipt

QUEUE = "aio-pika-orders"
CHANNEL = web.AppKey("channel", AbstractChannel)


async def broker(app: web.Application) -> AsyncIterator[None]:
    """Open a channel with publisher confirms while the app runs."""
    connection = await aio_pika.connect_robust(os.environ["AMQP_URL"])
    async with connection:
        app[CHANNEL] = await connection.channel(publisher_confirms=True)
        await app[CHANNEL].declare_queue(QUEUE, durable=True)
        yield


async def post_order(request: web.Request) -> web.Response:
    """Answer 202 once the broker has confirmed the order."""
    try:
        asked = OrderRequest.model_validate_json(await request.read())
    except ValidationError as error:
        return web.Response(status=422, text=error.json(), content_type="application/json")
    order = Order(**asked.model_dump(), id=uuid.uuid4().hex, accepted_at=time.time())
    # mandatory is aio-pika's default.
    await request.app[CHANNEL].default_exchange.publish(
        aio_pika.Message(
            order.model_dump_json().encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        ),
        routing_key=QUEUE,
    )
    return web.Response(
        status=202,
        text=Receipt(order_id=order.id).model_dump_json(),
        content_type="application/json",
        headers={"Location": f"/orders/{order.id}"},
    )


def create_app() -> web.Application:
    """Return the gateway's application."""
    app = web.Application()
    app.cleanup_ctx.append(broker)
    app.router.add_post("/orders", post_order)
    return app


if __name__ == "__main__":
    web.run_app(
        create_app(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
