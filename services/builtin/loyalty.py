"""Loyalty points for the items that a customer bought, and did not cancel."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import Field
from sqlalchemy import Column, Integer, MetaData, Table

from services import Effects, Handle, OrderEvent, Service, ServiceSettings, Totals
from services.builtin.column_types import key
from services.builtin.latency import delayed
from services.builtin.purchases import PURCHASES, items_bought

POINTS_PER_ITEM = 10

_tables = MetaData()
_points = Table(
    "loyalty",
    _tables,
    Column("customer_id", key(128), primary_key=True),
    Column("points", Integer, nullable=False),
)

_ADD_POINTS = (
    "INSERT INTO loyalty (customer_id, points) VALUES (:customer_id, :points)"
    " ON CONFLICT (customer_id) DO UPDATE SET points = loyalty.points + excluded.points"
)


class LoyaltySettings(ServiceSettings):
    """The settings of the loyalty service."""

    loyalty_latency_ms: int = Field(
        0,
        ge=0,
        le=60_000,
        description="extra milliseconds for each event of loyalty, for demonstrations",
    )


@dataclass(frozen=True)
class Purchase:
    """The part of an event that loyalty needs."""

    customer_id: str
    items: int
    """The items that were bought, less than 0 for those of a purchase that was cancelled."""

    @classmethod
    def of(cls, event: OrderEvent) -> "Purchase":
        """Return what the event changes about the purchases of its customer."""
        return cls(event.customer_id, items_bought(event))


async def add_points(purchase: Purchase, effects: Effects) -> None:
    """Add the points of one purchase, or take them back. Both may come in any order."""
    points = purchase.items * POINTS_PER_ITEM
    if not points:
        return
    effects.run(_ADD_POINTS, customer_id=purchase.customer_id, points=points)


@asynccontextmanager
async def open_loyalty(settings: LoyaltySettings) -> AsyncIterator[Handle[Purchase]]:
    """Open the handler."""
    yield delayed(add_points, settings.loyalty_latency_ms)


loyalty = Service(
    "loyalty",
    PURCHASES,
    Purchase.of,
    opened=open_loyalty,
    concurrency=2000,
    tables=_tables,
    settings=LoyaltySettings,
    totals=Totals(_points.c.customer_id, _points.c.points, per_item=POINTS_PER_ITEM),
)
