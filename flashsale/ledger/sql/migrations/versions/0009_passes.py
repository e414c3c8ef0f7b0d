"""A sale says whether it sells to holders of purchase passes only."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a default: operators of the version before still write without it.
    op.add_column(
        "sales", sa.Column("needs_pass", sa.Boolean, nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    op.drop_column("sales", "needs_pass")
