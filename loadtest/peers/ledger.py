"""Sell an order in one transaction, exactly once."""

import time
from typing import TYPE_CHECKING

import asyncpg

from loadtest.peers.shop import Order

if TYPE_CHECKING:  # asyncpg's pool is generic in its stubs only
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool


class AlreadyDecided(Exception):
    """The order was decided before: this is a redelivery."""


async def sell(pool: Pool, order: Order) -> None:
    """Sell the order if there is stock, and record the outcome.

    Raises `AlreadyDecided` for a redelivery, after which nothing has changed.
    """
    async with pool.acquire() as connection, connection.transaction():
        now = time.time()
        sold = await connection.execute(
            "UPDATE sales SET sold = sold + $2 WHERE sku = $1 AND sold + $2 <= stock",
            order.sku,
            order.quantity,
        )
        recorded = await connection.execute(
            "INSERT INTO orders VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            order.id,
            order.sku,
            order.customer_id,
            order.quantity,
            "confirmed" if sold == "UPDATE 1" else "rejected",
            order.accepted_at,
            now,
        )
        if recorded == "INSERT 0 0":
            raise AlreadyDecided
