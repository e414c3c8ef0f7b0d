"""Select the broker adapter by the scheme of a URL. This is the only place that does."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flashsale.broker.embedded import EmbeddedBroker
from flashsale.broker.port import Broker, StartTask, start_unsupervised
from flashsale.broker.rabbitmq.addresses import addresses, is_address
from flashsale.broker.rabbitmq.broker import RabbitMQ
from flashsale.broker.topology import Topology

EMBEDDED_URL: Final = "memory://"

OpenBroker = Callable[[str, Topology, float, StartTask], Broker]
"""Makes a broker. The arguments are those of `open_broker`."""


@dataclass(frozen=True)
class Adapter:
    """A kind of broker. `accepts` checks a URL of one of its schemes."""

    name: str
    """The value of `messaging.system` in OpenTelemetry's conventions."""
    shared: bool
    """Whether other processes can reach it."""
    accepts: Callable[[str], bool]
    open: OpenBroker


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
    """Return the adapter for a URL. Raises `ValueError`, whose message names the valid forms."""
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
    """Return the broker for the URL; entering it connects. Raises `ValueError`.

    A publish waits `publish_timeout` seconds for its confirm. `start_task` starts the broker's
    background work.
    """
    return adapter_of(url).open(url, topology, publish_timeout, start_task)
