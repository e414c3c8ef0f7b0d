"""What services did, their tables, and how much of the outbox was pruned."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def key(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "outbox_pruned",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("before", sa.Double(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
    )
    op.create_table(
        "effects",
        sa.Column("event_id", key(32), primary_key=True),
        sa.Column("service", sa.String(64), primary_key=True),
        sa.Column("done_at", sa.Double(), nullable=False),
    )
    op.create_table(
        "loyalty",
        sa.Column("customer_id", key(128), primary_key=True),
        sa.Column("points", sa.Integer(), nullable=False),
    )
    op.create_table(
        "ranking",
        sa.Column("sku", key(64), primary_key=True),
        sa.Column("customer_id", key(128), primary_key=True),
        sa.Column("bought", sa.Integer(), nullable=False),
        sa.Column("reached_at", sa.Double(), nullable=False),
    )
    op.create_index("ranking_top", "ranking", ["sku", sa.text("bought DESC"), "reached_at"])


def downgrade() -> None:
    for table in ("ranking", "loyalty", "effects", "outbox_pruned"):
        op.drop_table(table)
