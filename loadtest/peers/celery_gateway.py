"""A gateway by FastAPI and Celery: `uvicorn loadtest.peers.celery_gateway:app`."""

import time
import uuid

from fastapi import FastAPI, Response

from loadtest.peers.celery_worker import sell
from loadtest.peers.shop import Order, OrderRequest, Receipt

app = FastAPI()


@app.post("/orders", status_code=202)
def post_order(asked: OrderRequest, response: Response) -> Receipt:
    """Answer 202 once the broker has confirmed the order. `delay` blocks, so this is a `def`."""
    order = Order(**asked.model_dump(), id=uuid.uuid4().hex, accepted_at=time.time())
    sell.delay(order.model_dump())
    response.headers["Location"] = f"/orders/{order.id}"
    return Receipt(order_id=order.id)
