"""`flashsale demo`: run a whole sale, from its first order to its report."""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from flashsale.ledger import LedgerError
from flashsale.messages.standard_webhooks import new_secret
from flashsale.runtime.process import fail
from flashsale.runtime.settings import PREFIX, Settings, SettingsError, load_settings
from loadtest.demo.chart import draw
from loadtest.demo.report import print_report
from loadtest.demo.sale import Spike, run_sale
from loadtest.demo.stack import start_stack
from loadtest.processes import ProcessFailed
from loadtest.servers import free_port

LATENCY_MS = {"mail": 200, "loyalty": 300, "ranking": 500}
"""The simulated latency of each service, in milliseconds, as in a real shop."""


@dataclass(frozen=True)
class Plan:
    """The spike of the demo, and the files for the report and the chart."""

    spike: Spike
    json_file: Path | None
    chart: Path


def run_demo(plan: Plan, overrides: Mapping[str, str]) -> int:
    """Run a sale and print its report; return the exit code: 0 if every promise was kept."""
    console = Console()
    try:
        with ExitStack() as exits:
            folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="flashsale-")))
            payments = {"payment_secret": new_secret()} if plan.spike.holds else {}
            settings = own_settings(folder, **overrides, **payments)
            stack = start_stack(exits, settings, folder, slow_services(folder))
            outcome = run_sale(plan.spike, settings, stack, folder, console)
    except (SettingsError, ProcessFailed, LedgerError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped before the end of the sale")
    draw(outcome.watch, plan.chart)
    print_report(outcome.report, console)
    console.print(f"The chart: {plan.chart}")
    if plan.json_file is not None:
        write_report(outcome.report, plan.json_file)
    return 1 if outcome.report.broken else 0


def own_settings(folder: Path, **overrides: str) -> Settings:
    """Return the settings of the environment, with private ports and by default a new database.

    The shoppers of the demo have no tokens, so none is asked for.
    """
    own = {
        "database_url": f"sqlite+aiosqlite:///{folder / 'demo.db'}",
        "gateway_port": free_port(),
        "metrics_port": free_port(),
        "auth": "none",
    }
    return load_settings(**own | overrides)


def slow_services(folder: Path) -> dict[str, str]:
    """The variables of services that take as long as real ones would, their mail in the folder."""
    latencies = {f"{PREFIX}{name.upper()}_LATENCY_MS": str(ms) for name, ms in LATENCY_MS.items()}
    return {f"{PREFIX}MAIL_FOLDER": str(folder / "mail"), **latencies}


def write_report(report: msgspec.Struct, file: Path) -> None:
    """Write the report as JSON."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
