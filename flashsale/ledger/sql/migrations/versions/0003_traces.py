"""The trace that an event is part of, if its order is traced."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable and without a default: no row is rewritten, however large the table is.
    op.add_column("outbox", sa.Column("traceparent", sa.String(55)))


def downgrade() -> None:
    op.drop_column("outbox", "traceparent")
