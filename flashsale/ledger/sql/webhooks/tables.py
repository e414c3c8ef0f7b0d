"""The tables of webhooks. Times are Unix seconds; ids of endpoints and events are 32 hex digits."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
    true,
)
from sqlalchemy.types import TypeEngine

from flashsale.ledger.sql.tables import metadata


def _key(length: int) -> TypeEngine[str]:
    # Keys are compared for equality only, so a collation would only cost time.
    return String(length).with_variant(String(length, collation="C"), "postgresql")


endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", _key(32), primary_key=True),
    Column("url", Text, nullable=False),
    Column("event_types", JSON, nullable=False),
    Column("description", Text),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    Column("disabled_reason", Text),
    Column("disabled_at", Double),
    Column("created_at", Double, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("secret", String(128), nullable=False),
    # It signs beside the current one until then.
    Column("previous_secret", String(128)),
    Column("previous_secret_until", Double),
    # Of the attempts since the last success. Those that began before `failed_at` were under way
    # when one failed, and count as one with it.
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("failing_since", Double),
    Column("failed_at", Double),
    Column("paused_until", Double),
)


def _row_id() -> Column[int]:
    return Column(
        "id",
        BigInteger().with_variant(Integer, "sqlite"),
        Identity(),
        primary_key=True,
        autoincrement=True,
    )


# What is still to be delivered, and what was given up. A row of a delivered event is deleted.
# There are no foreign keys: an event may be written while its endpoint is deleted, and what is left
# of a deleted endpoint is pruned.
deliveries = Table(
    "webhook_deliveries",
    metadata,
    _row_id(),
    Column("endpoint_id", _key(32), nullable=False),
    Column("event_id", _key(32), nullable=False),
    Column("order_id", _key(32)),
    Column("type", String(64), nullable=False),
    Column("occurred_at", Double, nullable=False),
    Column("body", Text, nullable=False),
    Column("traceparent", String(55)),
    # Failed attempts.
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # When it is due. While a process has it, when the lease of that process ends.
    Column("next_at", Double, nullable=False),
    Column("claim", _key(32)),
    Column("error", Text),
    Column("dead_at", Double),
    UniqueConstraint("endpoint_id", "event_id", name="webhook_deliveries_once"),
)

_PENDING = deliveries.c.dead_at.is_(None)

Index(
    "webhook_deliveries_due",
    deliveries.c.endpoint_id,
    deliveries.c.next_at,
    deliveries.c.id,
    postgresql_where=_PENDING,
    sqlite_where=_PENDING,
)
# Finds the earliest event of an order.
Index(
    "webhook_deliveries_of_order",
    deliveries.c.endpoint_id,
    deliveries.c.order_id,
    deliveries.c.occurred_at,
    deliveries.c.id,
    postgresql_where=_PENDING,
    sqlite_where=_PENDING,
)
Index(
    "webhook_deliveries_dead",
    deliveries.c.dead_at,
    postgresql_where=deliveries.c.dead_at.is_not(None),
    sqlite_where=deliveries.c.dead_at.is_not(None),
)

attempts = Table(
    "webhook_attempts",
    metadata,
    _row_id(),
    Column("endpoint_id", _key(32), nullable=False),
    Column("event_id", _key(32), nullable=False),
    Column("order_id", _key(32)),
    Column("type", String(64), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("milliseconds", Integer, nullable=False),
    Column("result", String(16), nullable=False),
    Column("status", Integer),
    Column("error", Text),
)

Index("webhook_attempts_of_endpoint", attempts.c.endpoint_id, attempts.c.id)
Index("webhook_attempts_at", attempts.c.at)
