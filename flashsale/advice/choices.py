"""The queues to choose from: why, and how to set this product for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

# A quorum queue of RabbitMQ is the queue that this product is made for.
QUORUM_SETTINGS: Final = {
    "FLASHSALE_BROKER_URL": "amqp://USER:PASSWORD@HOST:5672/",
    "FLASHSALE_QUEUE_TYPE": "quorum",
    "FLASHSALE_QUEUE_MAX_LENGTH": "2000",
}
_MANAGED_SETTINGS: Final = QUORUM_SETTINGS | {
    "FLASHSALE_BROKER_URL": "amqps://USER:PASSWORD@HOST:5671/",
}


@dataclass(frozen=True)
class Choice:
    """A queue to choose.

    `name` is a key of the measured figures, or of the documented ones. The settings are those of
    this product: for the queue itself if it `runs_here`, else for the nearest one that does.
    `how` says what to set up besides. `reason` may name figures by `{...}`.
    """

    name: str
    reason: str
    how: str
    runs_here: bool
    settings: Mapping[str, str] = field(default_factory=lambda: QUORUM_SETTINGS)


_NOT_YET = "This product has no adapter for it yet. "

QUORUM = Choice(
    "rabbitmq_quorum",
    "It syncs before it confirms ({quorum.fsyncs_per_1000} syncs for 1,000 orders), so a power cut"
    " loses no confirmed order: {quorum.confirmed_per_second:,} confirms/s. A classic queue does"
    " {classic.confirmed_per_second:,} and syncs {classic.fsyncs_per_1000} times for 1,000 orders:"
    " a power cut may lose what it has confirmed.",
    "Three nodes of RabbitMQ for a shop that must go on when one fails; one node on a server of its"
    " own otherwise.",
    runs_here=True,
)
QUORUM_APART = Choice(
    "rabbitmq_quorum",
    "The queue must not spend what it is to protect. A queue in that database costs it"
    " {batches.fsyncs_per_1000} syncs for 1,000 orders, and {batches.server_us} µs of processor"
    " time for each in batches or {rows.server_us} µs a row at a time, just when it has the least"
    " to spare. RabbitMQ takes {quorum.confirmed_per_second:,} orders/s without the database.",
    "Run RabbitMQ on another server than the database, with a disk of its own.",
    runs_here=True,
)
QUORUM_ROUTING = Choice(
    "rabbitmq_quorum",
    "Of the queues measured here only RabbitMQ has exchanges: topics to many services, delays and"
    " dead letters are declared, not programmed. {quorum.confirmed_per_second:,} confirms/s with"
    " {quorum.fsyncs_per_1000} syncs for 1,000.",
    "Services name their topics, see docs/services.md. Delays are retry queues of their own.",
    runs_here=True,
)
POSTGRESQL = Choice(
    "postgresql_batches",
    "No further server, and orders are as safe as the rest of the data. In batches it confirms"
    " {batches.confirmed_per_second:,} orders/s at {batches.server_us} µs each; a row at a time"
    " only {rows.confirmed_per_second:,} at {rows.server_us} µs. The counter row holds the bound"
    " exactly (a count without a lock passes it by {rows.past_bound}).",
    _NOT_YET + "loadtest/bench/brokers/adapters/postgresql_batches.py is the table to begin with."
    " The settings are for the nearest queue that it runs on: one node of RabbitMQ.",
    runs_here=False,
)
REDIS_ALWAYS = Choice(
    "redis_always",
    "With `appendfsync always` it confirms after the sync and still does"
    " {always.confirmed_per_second:,} orders/s, as one sync serves all commands that have arrived"
    " ({always.fsyncs_per_1000} for 1,000). A Lua script holds the bound exactly; MAXLEN would drop"
    " orders instead.",
    _NOT_YET + "Set `appendonly yes`, `appendfsync always` and `maxmemory-policy noeviction` in"
    " Redis; loadtest/bench/brokers/adapters/redis_stream.py has the script. The settings are for"
    " the nearest queue that it runs on.",
    runs_here=False,
)
REDIS_EVERYSEC = Choice(
    "redis_everysec",
    "If the orders of a second may be lost by a power cut, `appendfsync everysec` is the fastest"
    " queue measured that refuses: {everysec.confirmed_per_second:,} confirms/s, p99"
    " {everysec.p99_ms} ms. A kill of the process lost {everysec.lost_by_kill} confirmed orders.",
    _NOT_YET + "Set `appendonly yes` and `maxmemory-policy noeviction` in Redis;"
    " loadtest/bench/brokers/adapters/redis_stream.py has the script. The settings are for the"
    " nearest queue that it runs on.",
    runs_here=False,
)
LATENCY_ALWAYS = Choice(
    "redis_always",
    "It syncs before it confirms, and with 64 orders in flight half of the confirms come within"
    " {always.p50_ms} ms and 99 % within {always.p99_ms} ms. RabbitMQ's quorum queue needs"
    " {quorum.p50_ms} and {quorum.p99_ms} ms.",
    REDIS_ALWAYS.how,
    runs_here=False,
)
LATENCY_EVERYSEC = Choice(
    "redis_everysec",
    "Nothing measured here that refuses orders is faster: p99 {everysec.p99_ms} ms with 64 orders"
    " in flight, RabbitMQ's quorum queue {quorum.p99_ms} ms. The orders of the last second may be"
    " lost by a power cut.",
    REDIS_EVERYSEC.how,
    runs_here=False,
)
STREAM = Choice(
    "rabbitmq_stream",
    "A stream keeps its messages, so that many readers read them, and again:"
    " {stream.confirmed_per_second:,} confirms/s. But it can't refuse, and confirms before any sync"
    " ({stream.fsyncs_per_1000} for 1,000): it is no queue for orders.",
    "Keep the orders in a quorum queue, which the settings are for, and put decided orders into the"
    " stream: bind it to the exchange sale.events. The outbox publishes an event again if it was"
    " not confirmed. Kafka is the same kind of log, if it is run for you already.",
    runs_here=False,
)
SQS = Choice(
    "sqs",
    "Nobody has to run it, and it stores each message in several zones; from its documentation, it"
    " can't be measured here. It has no bound: the gateway must count what waits.",
    _NOT_YET + "The settings are for RabbitMQ run by the cloud, on which it runs today: quorum"
    " queues, over TLS.",
    runs_here=False,
    settings=_MANAGED_SETTINGS,
)
QUORUM_ROUTING_MANAGED = Choice(
    QUORUM_ROUTING.name,
    QUORUM_ROUTING.reason,
    "Take RabbitMQ run by the cloud, over TLS. Services name their topics, see docs/services.md.",
    runs_here=True,
    settings=_MANAGED_SETTINGS,
)
