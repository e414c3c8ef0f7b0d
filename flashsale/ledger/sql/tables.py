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

from flashsale.domain.order_states import DECIDED, Status

metadata = MetaData()


def _key(length: int) -> TypeEngine[str]:
    # Keys are compared for equality only, so a collation would only cost time.
    return String(length).with_variant(String(length, collation="C"), "postgresql")


sales = Table(
    "sales",
    metadata,
    Column("sku", _key(64), primary_key=True),
    Column("stock", Integer, nullable=False),
    Column("sold", Integer, nullable=False, server_default=text("0")),
    Column("customer_limit", Integer),
    Column("opens_at", Double),
    Column("closes_at", Double),
    # What shoppers see; nothing is computed with it.
    Column("title", Text),
    Column("price", String(32)),
    Column("currency", String(3)),
    Column("picture_url", Text),
    # The gateways refuse orders without a pass. The rule of the sale does not look at it.
    Column("needs_pass", Boolean, nullable=False, server_default=false()),
    # Increased by each change of an operator. Selling leaves it as it is.
    Column("version", Integer, nullable=False, server_default=text("1")),
    CheckConstraint("sold >= 0 AND sold <= stock", name="sales_never_oversold"),
    CheckConstraint("customer_limit IS NULL OR customer_limit > 0", name="sales_limit_positive"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", _key(32), primary_key=True),
    # A failed order may have an id only.
    Column("sku", _key(64)),
    Column("customer_id", _key(128)),
    Column("quantity", Integer),
    Column("status", String(16), nullable=False),
    Column("reason", Text),
    # How many items were left if those were not enough for the order.
    Column("remaining", Integer),
    Column("accepted_at", Double),
    Column("decided_at", Double, nullable=False),
    CheckConstraint(f"status IN {tuple(map(str, DECIDED))}", name="orders_status_known"),
    CheckConstraint(
        f"status = '{Status.FAILED}'"
        " OR (sku IS NOT NULL AND customer_id IS NOT NULL AND quantity > 0)",
        name="orders_decided_whole",
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

outbox = Table(
    "outbox",
    metadata,
    Column("event_id", _key(32), primary_key=True),
    # No index: only queries over the whole table join by it, and an index slows down each order.
    Column("order_id", _key(32), nullable=False),
    Column("topic", String(128), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("sent_at", Double),
    # The parent of the services' spans, if the order is traced (W3C Trace Context).
    Column("traceparent", String(55)),
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
    Column("event_id", _key(32), primary_key=True),
    Column("service", String(64), primary_key=True),
    # The order of the event, since the event itself is pruned.
    Column("order_id", _key(32)),
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
