"""A consumer by FastStream and asyncpg: `faststream run loadtest.peers.faststream_consumer:app`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated

import asyncpg
from faststream import AckPolicy, Context, ContextRepo, FastStream
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

from loadtest.peers.ledger import AlreadyDecided, Pool, sell
from loadtest.peers.limiter import Limiter
from loadtest.peers.shop import Order

QUEUE = RabbitQueue("faststream-orders", durable=True)
PREFETCH = 100

# No logger, as FastStream logs a line for each message.
broker = RabbitBroker(
    os.environ["AMQP_URL"], default_channel=Channel(prefetch_count=PREFETCH), logger=None
)


@asynccontextmanager
async def lifespan(context: ContextRepo) -> AsyncIterator[None]:
    """Open a pool of database connections, and create the limiter."""
    limiter = Limiter(float(os.environ["DRAIN_RATE"]))
    async with asyncpg.create_pool(os.environ["DATABASE_URL"]) as pool:
        context.set_global("pool", pool)
        context.set_global("limiter", limiter)
        yield


@broker.subscriber(QUEUE, ack_policy=AckPolicy.NACK_ON_ERROR)
async def handle(
    order: Order, pool: Annotated[Pool, Context()], limiter: Annotated[Limiter, Context()]
) -> None:
    """Handle orders concurrently up to the prefetch, each in its own transaction."""
    await limiter.acquire()
    with suppress(AlreadyDecided):
        await sell(pool, order)


app = FastStream(broker, lifespan=lifespan)
