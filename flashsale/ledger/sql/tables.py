"""The tables. Times are Unix seconds; ids are 32 hexadecimal digits."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
    text,
)
from sqlalchemy.types import TypeEngine

from flashsale.domain.order_states import DECIDED, OPEN_IN_LEDGER, DeliveryState, Status

metadata = MetaData()


def key(length: int) -> TypeEngine[str]:
    """Return the type of ids and names of at most that length."""
    # Keys are compared for equality only, so a collation would only cost time.
    return String(length).with_variant(String(length, collation="C"), "postgresql")


sales = Table(
    "sales",
    metadata,
    Column("sku", key(64), primary_key=True),
    # Null: the stock is the shop's, and its order service decides.
    Column("stock", Integer),
    Column("sold", Integer, nullable=False, server_default=text("0")),
    Column("customer_limit", Integer),
    Column("opens_at", Double),
    Column("closes_at", Double),
    # What shoppers see. Only the amounts of payments are compared with the price.
    Column("title", Text),
    Column("price", String(32)),
    Column("currency", String(3)),
    Column("picture_url", Text),
    # The gateways refuse orders without a pass. The rule of the sale does not look at it.
    Column("needs_pass", Boolean, nullable=False, server_default=false()),
    # The order service of the shop has said that nothing is left.
    Column("sold_out", Boolean, nullable=False, server_default=false()),
    # Increased by each change of an operator. Selling leaves it as it is.
    Column("version", Integer, nullable=False, server_default=text("1")),
    # Null: an order buys at once. Without holds the columns below stay as they are.
    Column("hold_seconds", Integer),
    Column("waitlist", Integer),
    Column("cancellable", Boolean, nullable=False, server_default=false()),
    Column("extendable", Boolean, nullable=False, server_default=false()),
    Column("held", Integer, nullable=False, server_default=text("0")),
    Column("waiting", Integer, nullable=False, server_default=text("0")),
    Column("waited", Integer, nullable=False, server_default=text("0")),
    Column("line_head", Integer, nullable=False, server_default=text("1")),
    CheckConstraint(
        "sold >= 0 AND held >= 0 AND sold + held <= stock", name="sales_never_oversold"
    ),
    CheckConstraint(
        "hold_seconds IS NULL OR (hold_seconds > 0 AND stock IS NOT NULL)",
        name="sales_hold_positive",
    ),
    CheckConstraint("waiting >= 0 AND waiting <= waited", name="sales_waiting_counted"),
    CheckConstraint("NOT sold_out OR stock IS NULL", name="sales_sold_out_by_shop"),
    CheckConstraint("customer_limit IS NULL OR customer_limit > 0", name="sales_limit_positive"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", key(32), primary_key=True),
    # A failed order may have an id only.
    Column("sku", key(64)),
    Column("customer_id", key(128)),
    Column("quantity", Integer),
    Column("status", String(16), nullable=False),
    Column("reason", Text),
    # How many items were left if those were not enough for the order.
    Column("remaining", Integer),
    Column("accepted_at", Double),
    Column("decided_at", Double, nullable=False),
    # Of orders that are delivered to the order service of the shop; without one nothing is written.
    Column("delivery", String(16)),
    Column("delivery_attempts", Integer),
    Column("delivery_reason", Text),
    Column("order_ref", Text),
    # Of orders that were held: when the hold ends, or has ended.
    Column("expires_at", Double),
    Column("extended", Boolean),
    # Of orders that have waited: the number in the waiting list of the sale.
    Column("place", Integer),
    # When the order was confirmed, if it was something else before or is now.
    Column("confirmed_at", Double),
    # How many events the order has had. Null: one, as of each order without holds.
    Column("events", Integer),
    CheckConstraint(
        f"delivery IS NULL OR (delivery IN {tuple(map(str, DeliveryState))}"
        f" AND status = '{Status.CONFIRMED}')",
        name="orders_delivery_known",
    ),
    CheckConstraint(f"status IN {tuple(map(str, DECIDED))}", name="orders_status_known"),
    CheckConstraint(
        # A gateway may not know all about a queued order that is cancelled.
        f"status IN ('{Status.FAILED}', '{Status.CANCELLED}')"
        " OR (sku IS NOT NULL AND customer_id IS NOT NULL AND quantity > 0)",
        name="orders_decided_whole",
    ),
    CheckConstraint(
        f"status <> '{Status.HELD}' OR expires_at IS NOT NULL", name="orders_held_until"
    ),
    CheckConstraint(
        f"status <> '{Status.WAITLISTED}' OR place IS NOT NULL", name="orders_waiting_place"
    ),
)

# For each batch of a sale with a limit, the items of its customers are read.
Index(
    "orders_confirmed_by_customer",
    orders.c.sku,
    orders.c.customer_id,
    postgresql_where=orders.c.status == text(f"'{Status.CONFIRMED}'"),
    sqlite_where=orders.c.status == text(f"'{Status.CONFIRMED}'"),
)

_HELD = text(f"status = '{Status.HELD}'")
_WAITING = text(f"status = '{Status.WAITLISTED}'")
_OPEN = text(f"status IN {tuple(map(str, OPEN_IN_LEDGER))}")

# The drain asks which holds have ended, and who is next in line. Orders without holds are in none
# of these indexes.
Index(
    "orders_held_by_end",
    *(orders.c.expires_at, orders.c.id),
    postgresql_where=_HELD,
    sqlite_where=_HELD,
)
Index(
    "orders_waiting_by_place",
    *(orders.c.sku, orders.c.place),
    postgresql_where=_WAITING,
    sqlite_where=_WAITING,
)
Index(
    # The customer first: a plan that is made for an empty table may use one column alone.
    "orders_open_by_customer",
    *(orders.c.customer_id, orders.c.sku),
    postgresql_where=_OPEN,
    sqlite_where=_OPEN,
)

outbox = Table(
    "outbox",
    metadata,
    Column("event_id", key(32), primary_key=True),
    # No index: only queries over the whole table join by it, and an index slows down each order.
    Column("order_id", key(32), nullable=False),
    Column("topic", String(128), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("sent_at", Double),
    # The parent of the services' spans, if the order is traced (W3C Trace Context).
    Column("traceparent", String(55)),
    # JSON of what the order may no longer show when the event is published.
    Column("facts", Text),
)

Index(
    "outbox_unsent",
    outbox.c.created_at,
    postgresql_where=outbox.c.sent_at.is_(None),
    sqlite_where=outbox.c.sent_at.is_(None),
)

# The count of deleted sent rows, so that an audit can tell them from missing rows.
outbox_pruned = Table(
    "outbox_pruned",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("before", Double, nullable=False),
    Column("events", Integer, nullable=False),
)

# The events that each service has done, written together with their effects.
effects = Table(
    "effects",
    metadata,
    # The id first: a plan made for an empty table might use the service alone.
    Column("event_id", key(32), primary_key=True),
    Column("service", String(64), primary_key=True),
    # The order of the event, since the event itself is pruned.
    Column("order_id", key(32)),
    Column("done_at", Double, nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(128), nullable=False),
)

# The right to decide the orders of a sale, and the rate that its holder goes at. In SQLite only the
# rate counts, as one process uses the file.
drain_leases = Table(
    "drain_leases",
    metadata,
    Column("name", Text, primary_key=True),
    # Increased by each takeover. A drain writes only while the epoch is its own.
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    # The session of the holder. Null behind a pooler.
    Column("backend_pid", Integer),
    Column("backend_start", Double),
    # By the clock of the database server.
    Column("expires_at", Double, nullable=False),
    # In orders a second. Null: the drain may go as fast as operators allow.
    Column("adaptive_rate", Double),
)

# What operators have set, one row a drain. No row: everything is as the environment says.
drain_controls = Table(
    "drain_controls",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("paused_until", Double),
    Column("rate", Integer),
    Column("rate_until", Double),
    Column("drain_reason", Text),
    Column("intake_paused", Boolean, nullable=False, server_default=false()),
    Column("notice", Text),
    Column("intake_reason", Text),
    CheckConstraint("rate IS NULL OR rate > 0", name="drain_controls_rate_positive"),
)

# Each change of an operator, written in the transaction of the change. Nothing deletes a row.
audit_log = Table(
    "audit_log",
    metadata,
    Column(
        "id",
        BigInteger().with_variant(Integer, "sqlite"),
        Identity(),
        primary_key=True,
        autoincrement=True,
    ),
    # By the clock of the database server.
    Column("at", Double, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", Text, nullable=False),
    # Null: there was nothing before, or is nothing after.
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    Column("reason", Text),
    Column("request_id", Text),
    # A repeated request finds its first one by the key.
    Column("idempotency_key", Text, unique=True),
    Column("request", Text),
)
