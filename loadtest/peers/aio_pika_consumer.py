"""A consumer by aio-pika and asyncpg: `python -m loadtest.peers.aio_pika_consumer`."""

import asyncio
import os
from contextlib import suppress

import aio_pika
import asyncpg
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from loadtest.peers.ledger import AlreadyDecided, sell
from loadtest.peers.limiter import Limiter
from loadtest.peers.shop import Order

QUEUE = "aio-pika-orders"
PREFETCH = 100


async def main() -> None:
    """Handle orders concurrently up to the prefetch, each in its own transaction."""
    limiter = Limiter(float(os.environ["DRAIN_RATE"]))
    connection = await aio_pika.connect_robust(os.environ["AMQP_URL"])
    async with connection, asyncpg.create_pool(os.environ["DATABASE_URL"]) as pool:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.declare_queue(QUEUE, durable=True)

        async def handle(message: AbstractIncomingMessage) -> None:
            async with message.process(requeue=True):
                order = Order.model_validate_json(message.body)
                await limiter.acquire()
                with suppress(AlreadyDecided):
                    await sell(pool, order)

        await queue.consume(handle)
        await asyncio.Future()


if __name__ == "__main__":
    uvloop.run(main())
