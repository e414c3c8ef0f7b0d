"""Orders are delivered to the order service of the shop, and a stock may be the shop's."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_SOLD_OUT = "sales_sold_out_by_shop"


def sales(*more: sa.Column[bool] | sa.CheckConstraint, stock: bool) -> sa.Table:
    """Return the table as it was before, for SQLite, which changes a column by a copy."""
    return sa.Table(
        "sales",
        sa.MetaData(),
        sa.Column("sku", sa.String(64), primary_key=True),
        sa.Column("stock", sa.Integer, nullable=stock),
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
        # It holds where there is no stock, too.
        sa.CheckConstraint("sold >= 0 AND sold <= stock", name="sales_never_oversold"),
        sa.CheckConstraint(
            "customer_limit IS NULL OR customer_limit > 0", name="sales_limit_positive"
        ),
        *more,
    )


def sold_out() -> sa.Column[bool]:
    return sa.Column("sold_out", sa.Boolean, nullable=False, server_default=sa.false())


def upgrade() -> None:
    # Nullable, or with a default: consumers of the version before still write without them.
    with op.batch_alter_table("sales", copy_from=sales(stock=False)) as table:
        table.alter_column("stock", existing_type=sa.Integer, nullable=True)
        table.add_column(sold_out())
        table.create_check_constraint(_SOLD_OUT, "NOT sold_out OR stock IS NULL")
    # By hand, as SQLite adds a check with its column only.
    op.execute(
        "ALTER TABLE orders ADD COLUMN delivery VARCHAR(16) CONSTRAINT orders_delivery_known"
        " CHECK (delivery IS NULL"
        " OR (delivery IN ('pending', 'delivered', 'failed') AND status = 'confirmed'))"
    )
    op.add_column("orders", sa.Column("delivery_attempts", sa.Integer))
    op.add_column("orders", sa.Column("delivery_reason", sa.Text))
    op.add_column("orders", sa.Column("order_ref", sa.Text))


def downgrade() -> None:
    for column in ("order_ref", "delivery_reason", "delivery_attempts", "delivery"):
        op.drop_column("orders", column)
    # The version before knows no other stock. It sells nothing more of such a sale.
    op.execute("UPDATE sales SET stock = sold, sold_out = false WHERE stock IS NULL")
    check = sa.CheckConstraint("NOT sold_out OR stock IS NULL", name=_SOLD_OUT)
    with op.batch_alter_table("sales", copy_from=sales(sold_out(), check, stock=True)) as table:
        table.drop_constraint(_SOLD_OUT, type_="check")
        table.drop_column("sold_out")
        table.alter_column("stock", existing_type=sa.Integer, nullable=False)
