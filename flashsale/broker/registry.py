"""Select the broker adapter by the scheme of a URL. This is the only place that does."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from flashsale.broker.embedded import EmbeddedBroker
from flashsale.broker.port import Broker, StartTask, start_unsupervised
from flashsale.broker.rabbitmq.addresses import addresses, is_address, parse_address
from flashsale.broker.rabbitmq.broker import RabbitMQ
from flashsale.broker.rabbitmq.queues.replacement import replace_queues
from flashsale.broker.topology import Topology

EMBEDDED_URL: Final = "memory://"

Warn = Callable[[str, str, Topology], Awaitable[Sequence[str]]]
"""Asks a management URL. The arguments are those of `broker_warnings`."""

Upgrade = Callable[[str, Topology], Awaitable[Sequence[str]]]
"""Replaces queues. The arguments are those of `upgrade_queues`."""

OpenBroker = Callable[[str, Topology, float, StartTask], Broker]
"""Makes a broker. The arguments are those of `open_broker`."""


@dataclass(frozen=True)
class Adapter:
    """A kind of broker. `accepts` checks a URL of one of its schemes. It may raise `ValueError`."""

    name: str
    """The value of `messaging.system` in OpenTelemetry's conventions."""
    shared: bool
    """Whether other processes can reach it."""
    accepts: Callable[[str], bool]
    open: OpenBroker
    warn: Warn | None = None
    """Asks what is set up on the broker that endangers messages, if it can be asked."""
    upgrade: Upgrade | None = None
    """Replaces queues that an earlier version declared in another way, if that is possible."""


def _embedded(_: str, topology: Topology, __: float, ___: StartTask) -> Broker:
    return EmbeddedBroker(topology)


def _rabbitmq(
    url: str, topology: Topology, publish_timeout: float, start_task: StartTask
) -> Broker:
    return RabbitMQ(url, topology, publish_timeout=publish_timeout, start_task=start_task)


async def _rabbitmq_warnings(management_url: str, url: str, topology: Topology) -> Sequence[str]:
    # An HTTP client takes longer to import than the rest of a command, and few ask.
    from flashsale.broker.rabbitmq.policies import policy_warnings

    return await policy_warnings(management_url, url, topology)


def _is_rabbitmq(url: str) -> bool:
    found = addresses(url)
    if not all(is_address(address) for address in found):
        return False
    for address in found:
        parse_address(address)
    return True


_RABBITMQ = Adapter(
    "rabbitmq",
    shared=True,
    accepts=_is_rabbitmq,
    open=_rabbitmq,
    warn=_rabbitmq_warnings,
    upgrade=replace_queues,
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


async def broker_warnings(management_url: str, url: str, topology: Topology) -> Sequence[str]:
    """Return what is set up on the broker that endangers messages, a line each.

    Raises `BrokerUnavailable` if the management URL does not answer.
    """
    warn = adapter_of(url).warn
    return await warn(management_url, url, topology) if warn is not None else ()


async def upgrade_queues(url: str, topology: Topology) -> Sequence[str]:
    """Replace the queues that are not of the topology's type, with their messages; return them.

    Nothing else may consume these queues, or publish to them, meanwhile. A queue with a limit is
    changed by its consumer, not here. Raises `QueueInUse` if a process consumes one of them,
    and what entering a broker raises.
    """
    upgrade = adapter_of(url).upgrade
    return await upgrade(url, topology) if upgrade is not None else ()
