"""The tables of payments: what payment providers have told, and the webhooks that told it."""

from sqlalchemy import CheckConstraint, Column, Double, Index, String, Table, text

from flashsale.domain.holds.payments import Disposition
from flashsale.ledger.sql.tables import key, metadata

# What payment providers have told. Nothing deletes a row.
payments = Table(
    "payments",
    metadata,
    Column("payment_id", key(200), primary_key=True),
    Column("order_id", key(32), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("amount", String(32)),
    Column("currency", String(3)),
    Column("disposition", String(16), nullable=False),
    Column("reason", String(32)),
    Column("at", Double, nullable=False),
    CheckConstraint(
        f"disposition IN {tuple(map(str, Disposition))}", name="payments_disposition_known"
    ),
)

PAYS = text(f"payments.disposition = '{Disposition.CONFIRMED}'")
"""Written out, so that a plan for any value knows the partial index."""

# An order is paid once.
Index(
    "payments_one_an_order",
    payments.c.order_id,
    unique=True,
    postgresql_where=text(f"disposition = '{Disposition.CONFIRMED}'"),
    sqlite_where=text(f"disposition = '{Disposition.CONFIRMED}'"),
)

# The deliveries of webhooks about payments, by which one that comes again is recognised.
payment_webhooks = Table(
    "payment_webhooks",
    metadata,
    Column("webhook_id", key(200), primary_key=True),
    Column("payment_id", key(200), nullable=False),
    Column("at", Double, nullable=False),
)
