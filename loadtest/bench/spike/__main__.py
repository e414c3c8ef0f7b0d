"""`make spike`: run Locust's spike headless on a real stack, and write a page of plots and figures.

By default the stack is private, with RabbitMQ and PostgreSQL. `--host` names a running one; then
the FLASHSALE_... variables name its database and rates, and `--metrics` its ports.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from flashsale.ledger import LedgerError
from flashsale.runtime.process import fail
from flashsale.runtime.settings import Settings, SettingsError, load_settings
from loadtest.bench.results import RESULTS
from loadtest.bench.spike.page import page
from loadtest.demo.report import print_report
from loadtest.demo.run import own_settings, slow_services, write_report
from loadtest.demo.sale import Spike, Stack, run_sale
from loadtest.demo.stack import start_stack
from loadtest.measure.cores import Cores, listening_pid
from loadtest.processes import ProcessFailed
from loadtest.servers import ServerDidNotStart, ServerNotFound, postgres, rabbitmq

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main() -> None:
    """Run the spike; exit code 1 if a promise was broken."""
    console = Console()
    arguments = _arguments()
    cores = Cores()
    try:
        with ExitStack() as exits:
            folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="flashsale-")))
            if arguments.host is None:
                settings, stack = _own_stack(exits, folder, cores)
            else:
                settings, stack = _running_stack(arguments.host, arguments.metrics, cores)
            spike = Spike(arguments.seconds, arguments.rate, arguments.stock)
            outcome = run_sale(spike, settings, stack, folder, console, cores)
            report = outcome.report
            accepted_p99 = report.accept_ms.get("p99", 0.0)
            if arguments.p99_ms is not None and accepted_p99 > arguments.p99_ms:
                report.broken.append(f"p99 of a 202 is {accepted_p99} ms")
            RESULTS.mkdir(exist_ok=True)
            html = RESULTS / "spike.html"
            html.write_text(page(outcome, cores))
            locust = RESULTS / "spike-locust.html"
            locust.write_bytes((folder / "locust.html").read_bytes())
    except (SettingsError, ProcessFailed, LedgerError, ServerNotFound, ServerDidNotStart) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped before the end of the sale")
    write_report(report, RESULTS / "spike.json")
    print_report(report, console)
    for name, share in cores.shares().items():
        console.print(f"{name}: {100 * share:.0f} % of a core")
    console.print(f"The report: {html}. Locust's own report: {locust}")
    raise SystemExit(1 if report.broken else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="of the spike (default: 10)")
    parser.add_argument("--rate", type=int, default=5000, help="orders a second in the spike")
    parser.add_argument("--stock", type=int, help="items for sale; as in `flashsale demo`")
    parser.add_argument("--p99-ms", type=float, help="fail if the p99 of a 202 is longer")
    parser.add_argument(
        "--host", help="the gateway of a running stack on this machine: http://127.0.0.1:8080"
    )
    parser.add_argument(
        "--metrics",
        type=int,
        nargs="+",
        default=[9091, 9092, 9090],
        help="its `/metrics` ports, the consumer's first and the gateway's last",
    )
    arguments = parser.parse_args()
    if arguments.host and urlsplit(arguments.host).hostname not in _LOOPBACK:
        parser.error("--host must be a loopback address: run a spike only on your own machine")
    return arguments


def _own_stack(exits: ExitStack, folder: Path, cores: Cores) -> tuple[Settings, Stack]:
    node = exits.enter_context(rabbitmq())
    database = exits.enter_context(postgres())  # durable, as in production
    cores.follow("RabbitMQ", node.pid)
    cores.follow("PostgreSQL", database.pid)
    settings = own_settings(folder, broker_url=node.url, database_url=database.url())
    return settings, start_stack(exits, settings, folder, slow_services(folder), cores)


def _running_stack(host: str, ports: list[int], cores: Cores) -> tuple[Settings, Stack]:
    settings = load_settings()
    if settings.embedded:
        raise SettingsError("FLASHSALE_BROKER_URL, FLASHSALE_DATABASE_URL: name those of the stack")
    names = ["consumer", *(f"process {n}" for n in range(2, len(ports))), "gateway"]
    for name, port in zip(names, ports, strict=True):
        pid = listening_pid(port)
        if pid is None:
            raise ProcessFailed(f"nothing of ours listens on port {port}: see --metrics")
        cores.follow(name, pid)
    return settings, Stack(host, ports)


if __name__ == "__main__":
    main()
