"""Which broker a URL names. Its scheme decides, here and nowhere else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flashsale.broker.embedded import EmbeddedBroker
from flashsale.broker.port import Broker, StartTask, start_unsupervised
from flashsale.broker.rabbitmq.addresses import addresses, is_address
from flashsale.broker.rabbitmq.broker import RabbitMQ
from flashsale.broker.topology import Topology

EMBEDDED_URL: Final = "memory://"

Open = Callable[[str, Topology, float, StartTask], Broker]
"""Make a broker. The arguments are those of `open_broker`."""


@dataclass(frozen=True)
class Adapter:
    """A kind of broker. `accepts` checks a whole URL of one of its schemes."""

    name: str
    """What OpenTelemetry's conventions call it."""
    shared: bool
    """Whether other processes can reach it."""
    accepts: Callable[[str], bool]
    open: Open


def _embedded(_: str, topology: Topology, __: float, ___: StartTask) -> Broker:
    return EmbeddedBroker(topology)


def _rabbitmq(
    url: str, topology: Topology, publish_timeout: float, start_task: StartTask
) -> Broker:
    return RabbitMQ(url, topology, publish_timeout=publish_timeout, start_task=start_task)


_RABBITMQ = Adapter(
    "rabbitmq",
    shared=True,
    accepts=lambda url: all(is_address(address) for address in addresses(url)),
    open=_rabbitmq,
)
_BY_SCHEME = {
    "memory": Adapter(
        "memory", shared=False, accepts=lambda url: url == EMBEDDED_URL, open=_embedded
    ),
    "amqp": _RABBITMQ,
    "amqps": _RABBITMQ,
}


def adapter_of(url: str) -> Adapter:
    """Return the adapter for a URL. Raises `ValueError` that says what a URL may be."""
    adapter = _BY_SCHEME.get(url.partition(":")[0].strip().lower())
    if adapter is None or not adapter.accepts(url):
        raise ValueError(
            "must be memory://, amqp://... or amqps://..., or several of the last two"
            " with commas between"
        )
    return adapter


def open_broker(
    url: str,
    topology: Topology,
    publish_timeout: float,
    start_task: StartTask = start_unsupervised,
) -> Broker:
    """Return the broker that the URL names; entering it connects. Raises `ValueError`.

    A publish waits `publish_timeout` seconds for its confirm. What the broker does in the
    background is started by `start_task`.
    """
    return adapter_of(url).open(url, topology, publish_timeout, start_task)
