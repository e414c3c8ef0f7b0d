"""Events have ids of their own, and effects name the order that they are for.

Until now an event was under its order's id, and it stays so for the rows that there are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def key(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.execute("ALTER TABLE outbox RENAME COLUMN order_id TO event_id")
    op.add_column("outbox", sa.Column("order_id", key(32)))
    op.execute("UPDATE outbox SET order_id = event_id")
    with op.batch_alter_table("outbox") as outbox:
        outbox.alter_column("order_id", existing_type=key(32), nullable=False)
    if op.get_bind().dialect.name == "postgresql":
        # Consumers of the version before still write while they are replaced one by one.
        random_id = sa.text("replace(gen_random_uuid()::text, '-', '')")
        op.alter_column("outbox", "event_id", server_default=random_id)
    # Nullable: services of the version before still write it without.
    op.add_column("effects", sa.Column("order_id", key(32)))
    op.execute("UPDATE effects SET order_id = event_id")


def downgrade() -> None:
    # Refused by the primary keys if an order has more than one event.
    op.execute("UPDATE effects SET event_id = order_id WHERE order_id IS NOT NULL")
    op.execute("UPDATE outbox SET event_id = order_id")
    op.drop_column("effects", "order_id")
    op.drop_column("outbox", "order_id")
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("outbox", "event_id", server_default=None)
    op.execute("ALTER TABLE outbox RENAME COLUMN event_id TO order_id")
