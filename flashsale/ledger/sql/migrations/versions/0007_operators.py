"""Operators control the drain, the intake and the sales, and every change is audited."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable, or with a default: consumers of the version before still write without them.
    op.add_column("sales", sa.Column("title", sa.Text))
    op.add_column("sales", sa.Column("price", sa.String(32)))
    op.add_column("sales", sa.Column("currency", sa.String(3)))
    op.add_column("sales", sa.Column("picture_url", sa.Text))
    op.add_column(
        "sales", sa.Column("version", sa.Integer, nullable=False, server_default=sa.text("1"))
    )
    op.create_table(
        "drain_controls",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("paused_until", sa.Double),
        sa.Column("rate", sa.Integer),
        sa.Column("rate_until", sa.Double),
        sa.Column("drain_reason", sa.Text),
        sa.Column("intake_paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("notice", sa.Text),
        sa.Column("intake_reason", sa.Text),
        sa.CheckConstraint("rate IS NULL OR rate > 0", name="drain_controls_rate_positive"),
    )
    op.create_table(
        "audit_log",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.Identity(),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("before", sa.JSON),
        sa.Column("after", sa.JSON),
        sa.Column("reason", sa.Text),
        sa.Column("request_id", sa.Text),
        sa.Column("idempotency_key", sa.Text, unique=True),
        sa.Column("request", sa.Text),
    )


def downgrade() -> None:
    op.drop_table("audit_log")
    op.drop_table("drain_controls")
    for column in ("version", "picture_url", "currency", "price", "title"):
        op.drop_column("sales", column)
