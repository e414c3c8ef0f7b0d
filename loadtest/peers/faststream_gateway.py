"""A gateway by FastAPI and FastStream: `uvicorn loadtest.peers.faststream_gateway:app`."""

import os
import time
import uuid

from fastapi import FastAPI, Response
from faststream.rabbit import RabbitQueue
from faststream.rabbit.fastapi import RabbitRouter

from loadtest.peers.shop import Order, OrderRequest, Receipt

QUEUE = RabbitQueue("faststream-orders", durable=True)

# Publisher confirms and mandatory are FastStream's defaults.
router = RabbitRouter(os.environ["AMQP_URL"])


@router.after_startup
async def declare(app: FastAPI) -> None:
    """Declare the queue."""
    await router.broker.declare_queue(QUEUE)


@router.post("/orders", status_code=202)
async def post_order(asked: OrderRequest, response: Response) -> Receipt:
    """Answer 202 once the broker has confirmed the order."""
    order = Order(**asked.model_dump(), id=uuid.uuid4().hex, accepted_at=time.time())
    await router.broker.publish(order, QUEUE, persist=True)
    response.headers["Location"] = f"/orders/{order.id}"
    return Receipt(order_id=order.id)


app = FastAPI()
app.include_router(router)
