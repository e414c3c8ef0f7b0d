"""The top buyers of a sale. The gateway serves them at `GET /sales/{sku}/ranking`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field
from sqlalchemy import Column, Double, Index, Integer, MetaData, Table

from flashsale.ledger import RankingQuery
from services import Effects, Handle, OrderEvent, Service, ServiceSettings, Totals
from services.builtin.column_types import key
from services.builtin.latency import delayed
from services.builtin.purchases import PURCHASES, items_bought

_tables = MetaData()
_buyers = Table(
    "ranking",
    _tables,
    Column("sku", key(64), primary_key=True),
    Column("customer_id", key(128), primary_key=True),
    Column("bought", Integer, nullable=False),
    # When the latest of these items was bought. It decides between equal numbers of items.
    Column("reached_at", Double, nullable=False),
)
Index("ranking_top", _buyers.c.sku, _buyers.c.bought.desc(), _buyers.c.reached_at)

# If two customers have the same number of items, the earlier one is ahead. Events may come in any
# order, so the latest time is kept, also if that purchase is cancelled.
_ADD_ITEMS = (
    "INSERT INTO ranking (sku, customer_id, bought, reached_at)"
    " VALUES (:sku, :customer_id, :bought, :reached_at)"
    " ON CONFLICT (sku, customer_id) DO UPDATE SET bought = ranking.bought + excluded.bought,"
    " reached_at = CASE WHEN excluded.reached_at > ranking.reached_at THEN excluded.reached_at"
    " ELSE ranking.reached_at END"
)

TOP_BUYERS = RankingQuery(
    "SELECT customer_id, bought FROM ranking WHERE sku = :sku AND bought > 0"
    " ORDER BY bought DESC, reached_at, customer_id LIMIT :at_most"
)
"""The query of the gateway. An entry point of the group `flashsale.rankings` names it."""


class RankingSettings(ServiceSettings):
    """The settings of the ranking service."""

    ranking_latency_ms: int = Field(
        0,
        ge=0,
        le=60_000,
        description="extra milliseconds for each event of the ranking, for demonstrations",
    )


async def add_items(event: OrderEvent, effects: Effects) -> None:
    """Count the items of one order, or take them back. Both may come in any order."""
    items = items_bought(event)
    if not items:
        return
    effects.run(
        _ADD_ITEMS,
        sku=event.sku,
        customer_id=event.customer_id,
        bought=items,
        reached_at=event.decided_at if items > 0 else 0.0,
    )


def whole_event(event: OrderEvent) -> OrderEvent:
    """Return the event itself, as the ranking needs most of its fields."""
    return event


@asynccontextmanager
async def open_ranking(settings: RankingSettings) -> AsyncIterator[Handle[OrderEvent]]:
    """Open the handler."""
    yield delayed(add_items, settings.ranking_latency_ms)


ranking = Service(
    "ranking",
    PURCHASES,
    whole_event,
    opened=open_ranking,
    concurrency=2000,
    tables=_tables,
    settings=RankingSettings,
    totals=Totals(_buyers.c.customer_id, _buyers.c.bought, _buyers.c.sku),
)
