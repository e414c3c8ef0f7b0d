"""Webhook endpoints, the deliveries that are to be made to them, and the log of attempts."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _row_id() -> sa.Column[int]:
    return sa.Column(
        "id",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        sa.Identity(),
        primary_key=True,
        autoincrement=True,
    )


def upgrade() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", _key(32), primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("event_types", sa.JSON, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("disabled_at", sa.Double),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("secret", sa.String(128), nullable=False),
        sa.Column("previous_secret", sa.String(128)),
        sa.Column("previous_secret_until", sa.Double),
        sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("failing_since", sa.Double),
        sa.Column("failed_at", sa.Double),
        sa.Column("paused_until", sa.Double),
    )
    op.create_table(
        "webhook_deliveries",
        _row_id(),
        sa.Column("endpoint_id", _key(32), nullable=False),
        sa.Column("event_id", _key(32), nullable=False),
        sa.Column("order_id", _key(32)),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("occurred_at", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("traceparent", sa.String(55)),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("next_at", sa.Double, nullable=False),
        sa.Column("claim", _key(32)),
        sa.Column("error", sa.Text),
        sa.Column("dead_at", sa.Double),
        sa.UniqueConstraint("endpoint_id", "event_id", name="webhook_deliveries_once"),
    )
    pending = sa.text("dead_at IS NULL")
    for name, columns in (("due", ["next_at"]), ("of_order", ["order_id", "occurred_at"])):
        op.create_index(
            f"webhook_deliveries_{name}",
            "webhook_deliveries",
            ["endpoint_id", *columns, "id"],
            postgresql_where=pending,
            sqlite_where=pending,
        )
    dead = sa.text("dead_at IS NOT NULL")
    op.create_index(
        "webhook_deliveries_dead",
        "webhook_deliveries",
        ["dead_at"],
        postgresql_where=dead,
        sqlite_where=dead,
    )
    op.create_table(
        "webhook_attempts",
        _row_id(),
        sa.Column("endpoint_id", _key(32), nullable=False),
        sa.Column("event_id", _key(32), nullable=False),
        sa.Column("order_id", _key(32)),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("milliseconds", sa.Integer, nullable=False),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text),
    )
    op.create_index("webhook_attempts_of_endpoint", "webhook_attempts", ["endpoint_id", "id"])
    op.create_index("webhook_attempts_at", "webhook_attempts", ["at"])


def downgrade() -> None:
    op.drop_table("webhook_attempts")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_endpoints")
