"""The shop of a soak test: servers, gateway, two consumers and services, in processes each."""

import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from flashsale.runtime.settings import PREFIX
from loadtest.bench.soak.plan import Plan
from loadtest.measure.usage import process_tree
from loadtest.processes import process
from loadtest.servers import free_port, postgres, rabbitmq

BROKER, DATABASE = "RabbitMQ", "PostgreSQL"


@dataclass(frozen=True)
class Component:
    """A component of the shop: its processes, and its metrics port if it is ours."""

    name: str
    processes: Callable[[], Sequence[psutil.Process]]
    metrics_port: int | None = None


@dataclass(frozen=True)
class Shop:
    """The addresses of the shop."""

    port: int
    secret: str
    database: str
    parts: Sequence[Component]

    @property
    def consumer_ports(self) -> list[int]:
        """The metrics ports of the consumers."""
        return [
            part.metrics_port
            for part in self.parts
            if part.metrics_port is not None and part.name.startswith("consumer")
        ]


@contextmanager
def open_shop(plan: Plan, workers: int) -> Iterator[Shop]:
    """Run the shop while the context is entered, with its tables migrated."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flashsale-soak-")))
        node = stack.enter_context(rabbitmq())
        database = stack.enter_context(postgres())
        with process(["flashsale", "migrate"], folder / "migrate.log", {
            f"{PREFIX}DATABASE_URL": database.url()
        }) as migration:  # fmt: skip
            if migration.wait() != 0:
                raise RuntimeError(migration.output)
        port, secret = free_port(), secrets.token_hex(16)
        environment = {
            "BROKER_URL": node.url,
            "DATABASE_URL": database.url(),
            "SECRET_KEY": secret,
            "GATEWAY_PORT": str(port),
            "GATEWAY_WORKERS": str(workers),
            "QUEUE_MAX_LENGTH": str(plan.queue_max_length),
            "DRAIN_RATE": str(plan.drain_rate),
            "STATUS_ORDERS": str(plan.status_orders),
            "SHUTDOWN_SECONDS": "0",
            # The load tells the address of each client, as a proxy does.
            "TRUSTED_PROXIES": "127.0.0.0/8",
            "CLIENT_RATE": str(plan.client_rate),
            "CLIENT_BURST": "1",
            "CLIENT_TABLE": str(plan.client_table),
        }
        parts = [Component(BROKER, node.processes), Component(DATABASE, database.processes)]
        for name in ("gateway", "consumer", "consumer 2", "services"):
            metrics_port = free_port()
            running = stack.enter_context(
                process(
                    ["flashsale", name.split()[0]],
                    folder / f"{name}.log",
                    {f"{PREFIX}{k}": v for k, v in environment.items()}
                    | {f"{PREFIX}METRICS_PORT": str(metrics_port)},
                )
            )
            running.await_url(f"http://127.0.0.1:{metrics_port}/metrics")
            if name == "gateway":
                running.await_url(f"http://127.0.0.1:{port}/readyz")
            pid = running.pid
            parts.append(Component(name, lambda pid=pid: process_tree(pid), metrics_port))  # type: ignore[misc]
        yield Shop(port, secret, database.url(), parts)
