"""Orders may hold items for a payment, wait for items that others hold, and be cancelled."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_STATES = "('confirmed', 'rejected', 'failed')"
_MORE_STATES = "('confirmed', 'rejected', 'failed', 'held', 'waitlisted', 'expired', 'cancelled')"
_WHOLE = "(sku IS NOT NULL AND customer_id IS NOT NULL AND quantity > 0)"

_SALES = {
    "sales_never_oversold": (
        "sold >= 0 AND sold <= stock",
        "sold >= 0 AND held >= 0 AND sold + held <= stock",
    ),
    "sales_hold_positive": (
        None,
        "hold_seconds IS NULL OR (hold_seconds > 0 AND stock IS NOT NULL)",
    ),
    "sales_waiting_counted": (None, "waiting >= 0 AND waiting <= waited"),
}
_ORDERS = {
    "orders_status_known": (f"status IN {_STATES}", f"status IN {_MORE_STATES}"),
    "orders_decided_whole": (
        f"status = 'failed' OR {_WHOLE}",
        f"status IN ('failed', 'cancelled') OR {_WHOLE}",
    ),
    "orders_held_until": (None, "status <> 'held' OR expires_at IS NOT NULL"),
    "orders_waiting_place": (None, "status <> 'waitlisted' OR place IS NOT NULL"),
}
"""The checks of each table by name: before, and after."""


def key(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def count(name: str, default: str = "0") -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default=sa.text(default))


def flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def more_of_sales() -> list[sa.Column[Any]]:
    # Nullable, or with a default: consumers of the version before still write without them.
    return [
        sa.Column("hold_seconds", sa.Integer),
        sa.Column("waitlist", sa.Integer),
        flag("cancellable"),
        flag("extendable"),
        count("held"),
        count("waiting"),
        count("waited"),
        count("line_head", "1"),
    ]


def more_of_orders() -> list[sa.Column[Any]]:
    return [
        sa.Column("expires_at", sa.Double),
        sa.Column("extended", sa.Boolean),
        sa.Column("place", sa.Integer),
        sa.Column("confirmed_at", sa.Double),
        sa.Column("events", sa.Integer),
    ]


def checks(named: dict[str, tuple[str | None, str]], *, after: bool) -> list[sa.CheckConstraint]:
    conditions = {name: both[after] for name, both in named.items()}
    return [sa.CheckConstraint(c, name=name) for name, c in conditions.items() if c is not None]


def sales(*more: sa.Column[Any], after: bool) -> sa.Table:
    """Return a table as it is, for SQLite, which changes a check by a copy."""
    return sa.Table(
        "sales",
        sa.MetaData(),
        sa.Column("sku", sa.String(64), primary_key=True),
        sa.Column("stock", sa.Integer),
        sa.Column("sold", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("customer_limit", sa.Integer),
        sa.Column("opens_at", sa.Double),
        sa.Column("closes_at", sa.Double),
        sa.Column("title", sa.Text),
        sa.Column("price", sa.String(32)),
        sa.Column("currency", sa.String(3)),
        sa.Column("picture_url", sa.Text),
        sa.Column("version", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("needs_pass", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("sold_out", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.CheckConstraint("NOT sold_out OR stock IS NULL", name="sales_sold_out_by_shop"),
        sa.CheckConstraint(
            "customer_limit IS NULL OR customer_limit > 0", name="sales_limit_positive"
        ),
        *more,
        *checks(_SALES, after=after),
    )


def orders(*more: sa.Column[Any], after: bool) -> sa.Table:
    table = sa.Table(
        "orders",
        sa.MetaData(),
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("sku", sa.String(64)),
        sa.Column("customer_id", sa.String(128)),
        sa.Column("quantity", sa.Integer),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("accepted_at", sa.Double),
        sa.Column("decided_at", sa.Double, nullable=False),
        sa.Column("remaining", sa.Integer),
        # A check of the column, so that the revision before can drop both.
        sa.Column(
            "delivery",
            sa.String(16),
            sa.CheckConstraint(
                "delivery IS NULL OR (delivery IN ('pending', 'delivered', 'failed')"
                " AND status = 'confirmed')",
                name="orders_delivery_known",
            ),
        ),
        sa.Column("delivery_attempts", sa.Integer),
        sa.Column("delivery_reason", sa.Text),
        sa.Column("order_ref", sa.Text),
        *more,
        *checks(_ORDERS, after=after),
    )
    confirmed = sa.text("status = 'confirmed'")
    sa.Index(
        "orders_confirmed_by_customer", table.c.sku, table.c.customer_id, sqlite_where=confirmed
    )
    return table


def change_checks(
    table: sa.Table, named: dict[str, tuple[str | None, str]], *, after: bool
) -> None:
    with op.batch_alter_table(table.name, copy_from=table) as changed:
        for name, both in named.items():
            if both[not after] is not None:
                changed.drop_constraint(name, type_="check")
            condition = both[after]
            if condition is not None:
                changed.create_check_constraint(name, condition)


def upgrade() -> None:
    for column in more_of_sales():
        op.add_column("sales", column)
    for column in more_of_orders():
        op.add_column("orders", column)
    change_checks(sales(*more_of_sales(), after=False), _SALES, after=True)
    change_checks(orders(*more_of_orders(), after=False), _ORDERS, after=True)
    indexes = {
        "orders_held_by_end": (["expires_at", "id"], "status = 'held'"),
        "orders_waiting_by_place": (["sku", "place"], "status = 'waitlisted'"),
        "orders_open_by_customer": (["customer_id", "sku"], "status IN ('held', 'waitlisted')"),
    }
    for name, (columns, condition) in indexes.items():
        where = sa.text(condition)
        op.create_index(name, "orders", columns, postgresql_where=where, sqlite_where=where)
    op.create_table(
        "payments",
        sa.Column("payment_id", key(200), primary_key=True),
        sa.Column("order_id", key(32), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("amount", sa.String(32)),
        sa.Column("currency", sa.String(3)),
        sa.Column("disposition", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32)),
        sa.Column("at", sa.Double, nullable=False),
        sa.CheckConstraint(
            "disposition IN ('confirmed', 'refund_due', 'failed')",
            name="payments_disposition_known",
        ),
    )
    paid = sa.text("disposition = 'confirmed'")
    op.create_index(
        "payments_one_an_order",
        "payments",
        ["order_id"],
        unique=True,
        postgresql_where=paid,
        sqlite_where=paid,
    )
    op.create_table(
        "payment_webhooks",
        sa.Column("webhook_id", key(200), primary_key=True),
        sa.Column("payment_id", key(200), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.add_column("outbox", sa.Column("facts", sa.Text))


def downgrade() -> None:
    op.drop_column("outbox", "facts")
    op.drop_table("payment_webhooks")
    op.drop_table("payments")
    for name in ("orders_open_by_customer", "orders_waiting_by_place", "orders_held_by_end"):
        op.drop_index(name, "orders")
    # The version before knows none of these states. What is held or waits is not bought.
    op.execute(
        "UPDATE orders SET status = 'rejected', reason = 'sold_out', remaining = NULL"
        " WHERE status IN ('held', 'waitlisted', 'expired', 'cancelled') AND sku IS NOT NULL"
        " AND customer_id IS NOT NULL AND quantity > 0"
    )
    op.execute(
        "UPDATE orders SET status = 'failed'"
        " WHERE status IN ('held', 'waitlisted', 'expired', 'cancelled')"
    )
    op.execute("UPDATE sales SET held = 0, waiting = 0")
    change_checks(orders(*more_of_orders(), after=True), _ORDERS, after=False)
    change_checks(sales(*more_of_sales(), after=True), _SALES, after=False)
    for column in reversed(more_of_orders()):
        op.drop_column("orders", column.name)
    for column in reversed(more_of_sales()):
        op.drop_column("sales", column.name)
