"""The broker port and its adapters."""

from flashsale.broker.embedded import EmbeddedBroker
from flashsale.broker.port import (
    AccessRefused,
    Broker,
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    Counts,
    Deliveries,
    Delivery,
    Depth,
    Publisher,
    QueueFull,
    QueueInUse,
    TopologyMismatch,
    Unroutable,
)
from flashsale.broker.rabbitmq.broker import RabbitMQ
from flashsale.broker.registry import broker_warnings, open_broker, upgrade_queues
from flashsale.broker.topology import (
    Binding,
    DeadQueue,
    Queue,
    QueueType,
    Topology,
    sale_topology,
    topic_matches,
)

__all__ = [
    "AccessRefused",
    "Binding",
    "Broker",
    "BrokerError",
    "BrokerRefused",
    "BrokerUnavailable",
    "Counts",
    "DeadQueue",
    "Deliveries",
    "Delivery",
    "Depth",
    "EmbeddedBroker",
    "Publisher",
    "Queue",
    "QueueFull",
    "QueueInUse",
    "QueueType",
    "RabbitMQ",
    "Topology",
    "TopologyMismatch",
    "Unroutable",
    "broker_warnings",
    "open_broker",
    "sale_topology",
    "topic_matches",
    "upgrade_queues",
]
