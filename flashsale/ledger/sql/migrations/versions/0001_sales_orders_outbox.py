"""Sales, orders, the outbox and the secret of the order ids."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def key(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "sales",
        sa.Column("sku", key(64), primary_key=True),
        sa.Column("stock", sa.Integer(), nullable=False),
        sa.Column("sold", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("customer_limit", sa.Integer()),
        sa.Column("opens_at", sa.Double()),
        sa.Column("closes_at", sa.Double()),
        sa.CheckConstraint("sold >= 0 AND sold <= stock", name="sales_never_oversold"),
        sa.CheckConstraint(
            "customer_limit IS NULL OR customer_limit > 0", name="sales_limit_positive"
        ),
    )
    op.create_table(
        "orders",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("sku", key(64)),
        sa.Column("customer_id", key(128)),
        sa.Column("quantity", sa.Integer()),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("accepted_at", sa.Double()),
        sa.Column("decided_at", sa.Double(), nullable=False),
        sa.CheckConstraint(
            "status IN ('confirmed', 'rejected', 'failed')", name="orders_status_known"
        ),
        sa.CheckConstraint(
            "status = 'failed' OR (sku IS NOT NULL AND customer_id IS NOT NULL AND quantity > 0)",
            name="orders_decided_whole",
        ),
    )
    confirmed = sa.text("status = 'confirmed'")
    op.create_index(
        "orders_confirmed_by_customer",
        "orders",
        ["sku", "customer_id"],
        postgresql_where=confirmed,
        sqlite_where=confirmed,
    )
    op.create_table(
        "outbox",
        sa.Column("order_id", key(32), primary_key=True),
        sa.Column("topic", sa.String(128), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("sent_at", sa.Double()),
    )
    unsent = sa.text("sent_at IS NULL")
    op.create_index(
        "outbox_unsent",
        "outbox",
        ["created_at"],
        postgresql_where=unsent,
        sqlite_where=unsent,
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(128), nullable=False),
    )


def downgrade() -> None:
    for table in ("secrets", "outbox", "orders", "sales"):
        op.drop_table(table)
