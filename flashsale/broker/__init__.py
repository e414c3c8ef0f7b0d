"""The broker port and its two adapters."""

from flashsale.broker.embedded import EmbeddedBroker, topic_matches
from flashsale.broker.port import (
    Broker,
    BrokerError,
    BrokerUnavailable,
    Counts,
    Deliveries,
    Delivery,
    Depth,
    Headers,
    Publisher,
    QueueFull,
    TopologyMismatch,
    Unroutable,
)
from flashsale.broker.rabbitmq.broker import RabbitMQ
from flashsale.broker.topology import Binding, Queue, QueueType, Topology, sale_topology

__all__ = [
    "Binding",
    "Broker",
    "BrokerError",
    "BrokerUnavailable",
    "Counts",
    "Deliveries",
    "Delivery",
    "Depth",
    "EmbeddedBroker",
    "Headers",
    "Publisher",
    "Queue",
    "QueueFull",
    "QueueType",
    "RabbitMQ",
    "Topology",
    "TopologyMismatch",
    "Unroutable",
    "open_broker",
    "sale_topology",
    "topic_matches",
]


def open_broker(url: str, topology: Topology, publish_timeout: float) -> Broker:
    """The broker that the URL names: `memory://` or `amqp(s)://...`. Entering it connects."""
    if url.startswith("memory:"):
        return EmbeddedBroker(topology)
    return RabbitMQ(url, topology, publish_timeout=publish_timeout)
