"""`flashsale run`, `gateway`, `consumer` and `services`: start processes.

Each command imports only the process that it starts, and only when it is called.
"""

import asyncio
from typing import Annotated

import structlog
import typer

from flashsale.observability.consumer_metrics import ConsumerMetrics
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.observability.monitoring import monitored
from flashsale.observability.services_metrics import ServicesMetrics
from flashsale.runtime.background import Background
from flashsale.runtime.process import fail, run, settings_or_fail
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import Stack, installed_topology, open_stack

log = structlog.get_logger()


def run_all() -> None:
    """Run everything in one process. By default no broker has to be installed."""
    settings = settings_or_fail()
    if settings.gateway_workers > 1:
        workers = f"FLASHSALE_GATEWAY_WORKERS={settings.gateway_workers}"
        fail(f"{workers}: `flashsale run` is one process; `flashsale gateway` can be several")
    run(lambda stop: _run_all(settings, stop))


def gateway() -> None:
    """Run a gateway, which accepts orders over HTTP and puts them in the queue."""
    from gateway.__main__ import main

    main()


def consumer() -> None:
    """Run a consumer, which drains the queue into the database. Further ones stand by."""
    from consumer.__main__ import main

    main()


def services(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Services to run. Default: all of FLASHSALE_SERVICES."),
    ] = None,
) -> None:
    """Run the services that follow a sale: every one that is installed, or the named ones."""
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
        Background(metrics.registry) as background,
        monitored(metrics.registry, settings.metrics_host, port, background),
        open_stack(settings, "run", background) as stack,
        asyncio.TaskGroup() as tasks,
    ):
        if settings.embedded:
            log.warning("the embedded broker loses queued orders when this process ends")
            if settings.demonstrates_payments:
                log.warning("payments are a demonstration: anybody can pay, without money")
            # Events that the services have not handled are still in the outbox: send them again.
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
        # No new orders come in. Decide the accepted ones before their queue ends with the process.
        if settings.embedded:
            await _until_empty(stack, stack.topology.orders)
        stop_drain.set()
        await draining
        stop_services.set()


async def _until_empty(stack: Stack, queue: str) -> None:
    while True:
        depth = await stack.broker.depth(queue)
        if not depth.ready and not depth.unacked:
            return
        await asyncio.sleep(0.05)
