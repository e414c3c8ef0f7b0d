"""Orders say how many items were left if those were not enough for them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable: consumers of the version before still write without it.
    op.add_column("orders", sa.Column("remaining", sa.Integer))


def downgrade() -> None:
    op.drop_column("orders", "remaining")
