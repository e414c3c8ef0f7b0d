"""Run the services of a shop on an open stack."""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

from flashsale.observability.broker_metrics import BrokerCollector
from flashsale.observability.monitoring import monitored
from flashsale.observability.services_metrics import ServicesMetrics
from flashsale.runtime.background import Background, cancelled
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import Stack, open_stack, require_shared_broker
from services.queues import declared_by, work_queue
from services.resources import Resources
from services.retries import Retries
from services.service import AnyService
from services.worker import Worker, WorkerContext

METRICS_PORT = 9092
_NICE = 10  # on a shared machine, accepting orders comes first


async def run_workers(
    settings: Settings,
    stack: Stack,
    services: Sequence[AnyService],
    metrics: ServicesMetrics,
    stop: asyncio.Event,
) -> None:
    """Run these services until `stop`. Raises `LedgerError`, `BrokerError`, `SettingsError`."""
    prefix = settings.broker_prefix
    await stack.broker.extend(declared_by(settings, services))
    resources = Resources(stack.ledger, stack.background, metrics.registry, stop)
    async with AsyncExitStack() as opened:
        running = []
        for service in services:
            if service.tables is not None:
                await stack.ledger.effects.create_tables(service.tables)
            # A new worker for each start: the queue redelivers the pending events of the ended one.
            new_worker = partial(
                Worker,
                WorkerContext(
                    opened=await opened.enter_async_context(service.open(resources)),
                    queue=work_queue(prefix, service),
                    broker=stack.broker,
                    effects=stack.ledger.effects,
                    retries=Retries(
                        service=service, prefix=prefix, broker=stack.broker, metrics=metrics
                    ),
                    metrics=metrics,
                    tracing=stack.tracing,
                ),
            )
            running.append(
                stack.background.start(
                    f"service {service.name}", partial(_work, new_worker, stop), until=stop
                )
            )
        try:
            await asyncio.gather(*running)
        finally:
            await cancelled(*running)


async def _work(new_worker: Callable[[], Worker], stop: asyncio.Event) -> None:
    await new_worker().run(stop)


async def run_services(
    settings: Settings, services: Sequence[AnyService], stop: asyncio.Event
) -> None:
    """Run a process of services until `stop`. Raises the errors of `open_stack`, `OSError`."""
    require_shared_broker(settings, "services")
    os.nice(_NICE)
    metrics = ServicesMetrics()
    port = METRICS_PORT if settings.metrics_port is None else settings.metrics_port
    async with (
        Background(metrics.registry) as background,
        monitored(metrics.registry, settings.metrics_host, port, background),
        open_stack(settings, "services", background) as stack,
    ):
        metrics.registry.register(BrokerCollector(stack.broker))
        await run_workers(settings, stack, services, metrics, stop)
