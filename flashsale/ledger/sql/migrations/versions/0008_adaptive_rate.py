"""The lease of a drain keeps the adaptive rate, so that a successor goes on with it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable: consumers of the version before still write without it.
    op.add_column("drain_leases", sa.Column("adaptive_rate", sa.Double))


def downgrade() -> None:
    op.drop_column("drain_leases", "adaptive_rate")
