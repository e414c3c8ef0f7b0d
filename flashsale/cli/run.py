"""`flashsale run`, `gateway`, `consumer` and `services`: start processes.

Each imports what it starts, and nothing else, when it is called.
"""

import asyncio
from typing import Annotated

import structlog
import typer

from flashsale.observability.consumer_metrics import ConsumerMetrics
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.observability.monitoring import monitored
from flashsale.observability.services_metrics import ServicesMetrics
from flashsale.runtime.process import fail, run, settings_or_fail
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import Stack, installed_topology, open_stack

log = structlog.get_logger()


def run_all() -> None:
    """Run everything in one process: the way to try it out, with no broker to install."""
    settings = settings_or_fail()
    if settings.gateway_workers > 1:
        workers = f"FLASHSALE_GATEWAY_WORKERS={settings.gateway_workers}"
        fail(f"{workers}: `flashsale run` is one process; `flashsale gateway` can be several")
    run(lambda stop: _run_all(settings, stop))


def gateway() -> None:
    """Run a gateway: it takes orders over HTTP and puts them in the queue."""
    from gateway.__main__ import main

    main()


def consumer() -> None:
    """Run a consumer: it drains the queue into the database. Further ones stand by."""
    from consumer.__main__ import main

    main()


def services(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Which ones. All of FLASHSALE_SERVICES if none."),
    ] = None,
) -> None:
    """Run what happens after a sale: every service that is installed, or those of these names."""
    from services.__main__ import main

    main(names or ())


async def _run_all(settings: Settings, stop: asyncio.Event) -> None:
    from consumer.app import run_drain
    from gateway import app as gateway_app
    from services.app import run_workers
    from services.installed import chosen_services

    metrics = GatewayMetrics()
    drain_metrics = ConsumerMetrics(metrics.registry)
    services_metrics = ServicesMetrics(metrics.registry)
    port = gateway_app.METRICS_PORT if settings.metrics_port is None else settings.metrics_port
    chosen = chosen_services(settings.services)
    declared = installed_topology(settings)
    stop_drain, stop_services = asyncio.Event(), asyncio.Event()
    async with (
        monitored(metrics.registry, settings.metrics_host, port),
        open_stack(settings) as stack,
        asyncio.TaskGroup() as tasks,
    ):
        if settings.embedded:
            log.warning("the embedded broker's queued orders do not survive this process")
            # What its services have not done is still in the outbox, and comes again.
            if chosen:
                await stack.ledger.outbox.send_again(len(chosen))
        secret = await gateway_app.gateway_secret(settings, stack)
        web = gateway_app.create_app(settings, stack, secret, metrics)
        draining = tasks.create_task(
            run_drain(settings, stack, declared, drain_metrics, stop_drain)
        )
        tasks.create_task(run_workers(settings, stack, chosen, services_metrics, stop_services))
        async with gateway_app.serving(web):
            await stop.wait()
            await gateway_app.retire(web)
        # Nothing new comes in now. What was taken is decided before its queue is gone.
        if settings.embedded:
            await _until_empty(stack, stack.topology.orders)
        stop_drain.set()
        await draining
        stop_services.set()


async def _until_empty(stack: Stack, queue: str) -> None:
    while (await stack.broker.depth(queue)).ready:  # noqa: ASYNC110 a count
        await asyncio.sleep(0.05)
