"""`make spike`: Locust's spike on a real stack, headless, and one page of plots and figures.

A stack of its own, RabbitMQ and PostgreSQL included, unless `--host` names one that runs. Its
database and its rates are then those of the FLASHSALE_... variables, and `--metrics` its ports.
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
from loadtest.measure.cores import Cores, listener
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
    console.print(f"The page of it: {html}, and Locust's own: {locust}")
    raise SystemExit(1 if report.broken else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="of the spike (default: 10)")
    parser.add_argument("--rate", type=int, default=5000, help="orders a second in it")
    parser.add_argument("--stock", type=int, help="items for sale; as in `flashsale demo`")
    parser.add_argument("--p99-ms", type=float, help="the longest p99 of a 202 that is a success")
    parser.add_argument(
        "--host", help="the gateway of a stack that runs here: http://127.0.0.1:8080"
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
        parser.error("a spike is for a machine of your own: --host must be a loopback address")
    return arguments


def _own_stack(exits: ExitStack, folder: Path, cores: Cores) -> tuple[Settings, Stack]:
    node = exits.enter_context(rabbitmq())
    database = exits.enter_context(postgres())  # durable, as a shop's would be
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
        pid = listener(port)
        if pid is None:
            raise ProcessFailed(f"nothing of ours listens on port {port}: see --metrics")
        cores.follow(name, pid)
    return settings, Stack(host, ports)


if __name__ == "__main__":
    main()
