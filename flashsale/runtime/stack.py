"""Open the broker with its topology, and the ledger, for any process."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import structlog

from flashsale.broker import (
    Broker,
    BrokerUnavailable,
    Topology,
    broker_warnings,
    open_broker,
    sale_topology,
)
from flashsale.broker.registry import adapter_of
from flashsale.ledger import Ledger, RankingQuery, open_ledger
from flashsale.observability.tracing import open_tracing
from flashsale.runtime.background import Background
from flashsale.runtime.entry_points import installed
from flashsale.runtime.settings import PREFIX, Settings, SettingsError

if TYPE_CHECKING:
    from flashsale.observability.spans import Tracing

log = structlog.get_logger()


@dataclass(frozen=True)
class Stack:
    """An open broker, an open ledger, and tracing if it is on."""

    broker: Broker
    ledger: Ledger
    topology: Topology
    background: Background
    tracing: "Tracing | None" = None


@asynccontextmanager
async def open_stack(
    settings: Settings, process: str = "run", background: Background | None = None
) -> AsyncIterator[Stack]:
    """Open the stack for the process of that name.

    Background tasks run under `background`, or under one that ends with the stack.

    Raises `BrokerUnavailable`, `TopologyMismatch`, `LedgerError`, `TracingUnavailable`.
    """
    topology = topology_of(settings)
    async with (
        nullcontext(background) if background is not None else Background() as tasks,
        open_tracing(settings.tracing, process, adapter_of(settings.broker_url).name) as tracing,
        open_ledger(settings.database_url, settings.database_schema) as ledger,
    ):
        if settings.embedded:
            await ledger.migrate()
        await ledger.verify_schema()
        await _warn_of_undecidable(ledger, delivers=settings.sink_url is not None)
        broker = open_broker(
            settings.broker_url, topology, settings.publish_timeout_seconds, tasks.start
        )
        async with broker:
            broker.warnings = await warnings_of(settings)
            yield Stack(broker, ledger, topology, tasks, tracing)


async def _warn_of_undecidable(ledger: Ledger, *, delivers: bool) -> None:
    """Log the sales whose orders fail, because of the order service of the shop or without one."""
    sales = await ledger.sales()
    if delivers:
        if holding := [sale.sku for sale in sales if sale.has_holds]:
            log.warning(
                "sales with holds, and an order service that takes no held orders: their orders"
                " fail",
                sales=", ".join(holding),
                needed=f"no {PREFIX}SINK_URL",
            )
    elif theirs := [sale.sku for sale in sales if sale.stock is None]:
        log.warning(
            "sales without stock of ours, and no order service: their orders fail",
            sales=", ".join(theirs),
            needed=f"{PREFIX}SINK_URL",
        )


async def warnings_of(settings: Settings) -> Sequence[str]:
    """Return what is set up on the broker that endangers orders or events, and log it."""
    if settings.broker_management_url is None:
        return ()
    topology = topology_of(settings) + installed_topology(settings)
    try:
        found = await broker_warnings(settings.broker_management_url, settings.broker_url, topology)
    except BrokerUnavailable as error:
        log.warning("policies of the broker not read", reason=str(error))
        return ()
    for warning in found:
        log.warning("policy of the broker endangers orders", reason=warning)
    return found


def topology_of(settings: Settings) -> Topology:
    """Return the topology of a sale without its services."""
    return sale_topology(settings.broker_prefix, settings.queue_max_length, settings.queue_type)


def installed_topology(settings: Settings) -> Topology:
    """Return the queues and bindings of installed packages, to declare before the first event.

    Each package names a function of the settings in the group of entry points
    `flashsale.topology`. Raises `SettingsError`.
    """
    declared = Topology((), (), ())
    for declare in installed("flashsale.topology").values():
        declared += cast("Callable[[Settings], Topology]", declare)(settings)
    return declared


def dead_letter_topology(settings: Settings) -> Topology:
    """Return the queues of dead letters, of the orders and of installed services, and no others.

    If the services can't be loaded here, it has only the queue of the orders.
    """
    known = topology_of(settings)
    try:
        known += installed_topology(settings)
    except SettingsError as error:
        log.warning("dead letters of services not known", reason=str(error))
    names = {dead.queue for dead in known.dead_queues}
    queues = tuple(queue for queue in known.queues if queue.name in names)
    return Topology((), queues, (), known.dead_queues)


def installed_ranking() -> RankingQuery | None:
    """Return the query of an installed service that ranks buyers, or None.

    The service names it in the group of entry points `flashsale.rankings`. Raises `SettingsError`.
    """
    queries = installed("flashsale.rankings").values()
    return next((RankingQuery(query) for query in queries if isinstance(query, str)), None)


def require_shared_broker(settings: Settings, process: str) -> None:
    """Raise `SettingsError` if no other process can reach the broker."""
    if settings.embedded:
        raise SettingsError(
            f"{PREFIX}BROKER_URL=memory://: `flashsale {process}` shares its broker with other"
            " processes and needs amqp://...; `flashsale run` runs all in one process"
        )
