"""Run the same spike twice: straight at a shop, and through the gateway."""

import asyncio
import base64
import secrets
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger import LedgerError, open_ledger
from flashsale.messages.standard_webhooks import SECRET_PREFIX
from flashsale.runtime.process import fail
from flashsale.runtime.settings import Settings, SettingsError
from loadtest.demo.run import Plan, own_settings, write_report
from loadtest.demo.sink.figures import Run, SinkReport, judge
from loadtest.demo.sink.picture import draw
from loadtest.demo.sink.shoppers import shape_of, shop
from loadtest.demo.sink.summary import print_summary
from loadtest.demo.stack import start_stack
from loadtest.demo.watch import Watch
from loadtest.load.shapes import SpikeShape
from loadtest.processes import ProcessFailed
from loadtest.receiver.running import Receiver, receiver

_SHARE_OF_SPIKE_UNTIL_SOLD = 0.6
_DRAINED_WITHIN_SECONDS = 60
_SAMPLE_SECONDS = 0.25
_QUIET_SECONDS = 1.0
_SECRET_BYTES = 32


def run_sink_demo(plan: Plan, overrides: Mapping[str, str]) -> int:
    """Run both, print the report and draw the picture; return the exit code.

    It is 0 if the gateway kept every promise.
    """
    console = Console()
    sku = f"demo-{time.time_ns() // 1_000_000:x}"
    try:
        with ExitStack() as exits:
            folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="flashsale-")))
            secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
            shape = shape_of(plan.spike)
            settings = own_settings(folder, services="none", **overrides)
            sold_within = plan.spike.seconds * _SHARE_OF_SPIKE_UNTIL_SOLD
            stock = plan.spike.stock or max(1, round(settings.drain_rate * sold_within))
            options = ["--stock", str(stock), "--capacity", str(settings.drain_rate)]
            console.print(
                f"A shop with {stock:,} items, whose database can take {settings.drain_rate:,}"
                f" orders a second: {shape.base:,.0f} a second arrive, then {shape.rate:,.0f} for"
                f" {shape.seconds:,.0f} s, then {shape.base:,.0f} again."
            )
            console.print("First run: the shop alone.")
            with receiver(folder, options) as alone:
                straight = _seen(shape, alone, alone.url, sku)
            console.print("Second run: with the gateway in front of the shop.")
            with receiver(folder, options, secret) as behind:
                addressed = {"sink_url": behind.url, "sink_secret": secret}
                settings = own_settings(folder, services="none", **addressed, **overrides)
                through, outcomes = _through_gateway(exits, shape, settings, behind, folder, sku)
    except (SettingsError, ProcessFailed, LedgerError, OSError, ValueError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped before the end of the second run")
    report: SinkReport = judge(straight, through, outcomes, settings.drain_rate)
    draw(straight, through, settings.drain_rate, plan.chart)
    print_summary(report, console)
    console.print(f"The picture: {plan.chart}")
    if plan.json_file is not None:
        write_report(report, plan.json_file)
    return 1 if report.broken else 0


def _seen(shape: SpikeShape, shopped: Receiver, url: str, sku: str) -> Run:
    return Run(shape, shop(url, sku, shape), shopped.stats(), shopped.orders())


def _through_gateway(
    exits: ExitStack,
    shape: SpikeShape,
    settings: Settings,
    behind: Receiver,
    folder: Path,
    sku: str,
) -> tuple[Run, Mapping[str, Outcome]]:
    stack = start_stack(exits, settings, folder, {})
    asyncio.run(_create(settings, Sale(sku, stock=None)))
    watch = Watch(stack.ports, sku, settings.queue_max_length, settings.drain_rate)
    shopping = shop(f"{stack.url}/orders", sku, shape)
    _await_decisions(watch)
    run = Run(shape, shopping, behind.stats(), behind.orders(), watch.samples[-1].refused)
    return run, asyncio.run(_outcomes(settings, sku))


def _await_decisions(watch: Watch) -> None:
    """Wait until every accepted order is decided, and for a second nothing else is.

    An order that was answered with `broker-unavailable` may be in the queue as well.
    """
    deadline = time.monotonic() + _DRAINED_WITHIN_SECONDS
    decided, since = -1, 0.0
    while time.monotonic() < deadline:
        now = watch.sample()
        if now.decided != decided:
            decided, since = now.decided, now.at
        elif decided >= now.accepted and now.at - since >= _QUIET_SECONDS:
            return
        time.sleep(_SAMPLE_SECONDS)


async def _create(settings: Settings, sale: Sale) -> None:
    async with open_ledger(settings.database_url, settings.database_schema) as ledger:
        await ledger.create_sale(sale)


async def _outcomes(settings: Settings, sku: str) -> Mapping[str, Outcome]:
    async with open_ledger(settings.database_url, settings.database_schema) as ledger:
        return await ledger.outcomes(sku)
