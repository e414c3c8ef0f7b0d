"""A sale under faults: servers, processes and links between them, all of which can be broken."""

import asyncio
import contextlib
import json
import random
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pika
import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from flashsale.audit.history import Observation, encode_line
from flashsale.broker import RabbitMQ, Topology, sale_topology
from flashsale.broker.rabbitmq.addresses import addresses
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.processes import Process, get
from loadtest.servers import PgBouncer, PoolMode, PostgresServer, RabbitNode, free_port, pgbouncer
from tests.conftest import unique
from tests.faults.linked import LinkedCluster
from tests.faults.observed import GRACE, HISTORY, POINT
from tests.faults.proxy import Proxy, proxy
from tests.faults.shoppers import Crowd
from tests.processes import process

ROOT = Path(__file__).parents[2]
SERVICES = ("loyalty", "mail", "ranking")

GRACE_SECONDS = 2.0
"""How long holds go on after their end."""

_ACTIVE = "is active"
_READY_SECONDS = 60.0
_DIED_SECONDS = 60.0
_HEALED_SECONDS = 90.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Layout:
    """What a sale consists of: how many processes of each kind, and their settings."""

    gateways: int = 1
    consumers: int = 1
    services: int = 0
    stock: int = 300
    holds: Mapping[str, int | bool] = field(default_factory=dict)
    """The terms of holds of the sale of tvs, if it has some."""
    pooler: PoolMode | None = None
    """The mode of a PgBouncer that the processes connect to the database through."""
    settings: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """The processes; the first one is started before the others."""
        kinds = {"consumer": self.consumers, "services": self.services, "gateway": self.gateways}
        return [f"{kind}-{n}" for kind, count in kinds.items() for n in range(1, count + 1)]


class Stand:
    """A sale whose processes, servers and links a scenario breaks. Names are as `consumer-1`."""

    def __init__(
        self,
        layout: Layout,
        broker: RabbitNode | LinkedCluster,
        database: PostgresServer,
        folder: Path,
        seed: int,
    ) -> None:
        self.layout = layout
        self._broker = broker
        self.database = database
        self.folder = folder
        self.dice = random.Random(seed)
        self.links: dict[tuple[str, str], Proxy] = {}
        """A proxy by who connects and to what, as ("gateway-1", "broker").

        The nodes of a cluster are "broker", "broker-2" and "broker-3".
        """
        self.doors: list[Proxy] = []
        """What shoppers connect to, a proxy for each gateway."""
        self.pooler: PgBouncer | None = None
        self.gone_until = 0.0
        """Orders that were sent before this moment may be gone, as who deletes a queue wants it."""
        self.settings = {
            "drain_rate": "400",
            "broker_prefix": f"{unique('f')}.",
            "metrics_port": "0",
            "shutdown_seconds": "0.3",
            "services": ",".join(SERVICES) if layout.services else "none",
            "mail_folder": str(folder / "mail"),
            **layout.settings,
        }
        self.database_name = unique("faults").replace("-", "_")
        self.history = folder / "history"
        self.history.mkdir()
        self._ports: dict[str, int] = {}
        self._exits = AsyncExitStack()
        self._engine: AsyncEngine | None = None
        self._running: dict[str, tuple[ExitStack, Process]] = {}
        self._lines = (self.history / "shoppers.jsonl").open("ab", buffering=0)

    # Processes.

    async def start(self, name: str, *, point: str | None = None, **settings: str) -> None:
        """Start a process, to die at that point if one is given, and wait until it serves."""
        kind = name.partition("-")[0]
        exits = ExitStack()
        own = {
            "broker_url": ",".join(
                _through(url, self.links[name, to]) for to, url in self._brokers().items()
            ),
            "database_url": _through(self.database_url, self.links[name, "database"]),
            **({"gateway_port": str(self._ports[name])} if kind == "gateway" else {}),
        }
        environment = {
            "PYTHONPATH": str(ROOT),
            HISTORY: str(self.history / f"{name}.jsonl"),
            GRACE: str(GRACE_SECONDS),
            **({POINT: point} if point else {}),
            **{
                f"FLASHSALE_{key.upper()}": value
                for key, value in (self.settings | own | settings).items()
            },
        }
        log = self.folder / f"{name}.log"
        active = log.read_text().count(_ACTIVE) if log.exists() else 0
        running = await asyncio.to_thread(
            exits.enter_context,
            process(["tests.faults.observed", kind], log, environment),
        )
        self._running[name] = exits, running
        if kind == "gateway":
            url = f"http://127.0.0.1:{self._ports[name]}/healthz"

            async def answers() -> bool:
                return await asyncio.to_thread(get, url) is not None or not running.running

            await self.until(answers, f"{name} to listen", _READY_SECONDS)
        elif not (
            kind == "consumer" and self.layout.consumers > 1 and (active or name != "consumer-1")
        ):
            await self.until(
                lambda: running.output.count(_ACTIVE) > active or not running.running,
                f"{name} to be active",
                _READY_SECONDS,
            )

    def process(self, name: str) -> Process:
        """A process that was started."""
        return self._running[name][1]

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send it a signal: SIGKILL, SIGSTOP, SIGCONT, SIGTERM."""
        self.process(name).signal(number)

    async def died(self, name: str) -> None:
        """Wait until a process has ended, by itself or by a signal that it was sent."""
        await self.until(
            lambda: not self.process(name).running, f"the end of {name}", _DIED_SECONDS
        )

    async def killed_itself(self, name: str) -> None:
        """Wait until a process has died at the point that it was started with."""
        await self.died(name)
        code = self.process(name).wait()
        assert code == -signal.SIGKILL, f"{name} ended by itself, with {code}\n{self.logs()}"

    async def again(self, name: str, **settings: str) -> None:
        """Start a process that has died or was killed once more, as its supervisor would."""
        await self.stop(name)
        await self.start(name, **settings)

    def adopt(self, name: str, exits: ExitStack, running: Process) -> None:
        """Take over a process of a scenario, so that it can be signalled, and ends at the end."""
        self._running[name] = exits, running

    async def enter(self, context: AbstractAsyncContextManager[Proxy]) -> Proxy:
        """Enter the context of a scenario's own link until the end."""
        return await self._exits.enter_async_context(context)

    async def stop(self, name: str) -> None:
        """Stop a process in good order."""
        exits, _ = self._running.pop(name)
        await asyncio.to_thread(exits.close)

    def url(self, name: str) -> str:
        """The address of a gateway, not through a link that may be broken."""
        return f"http://127.0.0.1:{self._ports[name]}"

    def ready(self, name: str) -> bool:
        """Whether a gateway is ready."""
        return get(f"{self.url(name)}/readyz") is not None

    # Where things are.

    @property
    def node(self) -> RabbitNode:
        """The broker, where it is one node."""
        assert isinstance(self._broker, RabbitNode)
        return self._broker

    @property
    def cluster(self) -> LinkedCluster:
        """The broker, where it is a cluster."""
        assert isinstance(self._broker, LinkedCluster)
        return self._broker

    def _brokers(self) -> dict[str, str]:
        urls = addresses(self._broker.url)
        return {f"broker-{n}" if n > 1 else "broker": url for n, url in enumerate(urls, 1)}

    @property
    def topology(self) -> Topology:
        """The queues and exchanges of this sale."""
        return sale_topology(
            self.settings["broker_prefix"],
            int(self.settings.get("queue_max_length", "2000")),
            "classic" if self.settings.get("queue_type") == "classic" else "quorum",
        )

    @property
    def database_url(self) -> str:
        """Straight to the database, not through a link that may be broken."""
        return self.database.url(self.database_name)

    def link(self, name: str, to: str) -> Proxy:
        """The link of a process to its "broker", to another node of that, or to its "database"."""
        return self.links[name, to]

    # Waiting.

    async def wait(self, low: float, high: float | None = None) -> None:
        """Let the sale go on for that long, or for a random time up to `high` seconds."""
        await asyncio.sleep(low if high is None else self.dice.uniform(low, high))

    async def until(
        self,
        condition: Callable[[], bool] | Callable[[], Awaitable[bool]],
        what: str,
        seconds: float = _HEALED_SECONDS,
    ) -> None:
        """Wait for a condition. Raises `AssertionError` that says what was waited for."""
        deadline = time.monotonic() + seconds
        while True:
            found: Any = condition()
            if found if isinstance(found, bool) else await found:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds:.0f} s for {what}\n{self.logs()}")
            await asyncio.sleep(_POLL_SECONDS)

    # Breaking servers.

    async def control(self, *arguments: str) -> None:
        """Run `rabbitmqctl` on the broker's node."""
        await asyncio.to_thread(self.node.control, *arguments)

    @asynccontextmanager
    async def limited(self, queue: str, length: int) -> AsyncIterator[None]:
        """Have the broker refuse what would make that queue longer, for as long as this lasts."""
        async with self.policy(queue, {"max-length": length, "overflow": "reject-publish"}):
            yield

    @asynccontextmanager
    async def policy(self, queue: str, definition: Mapping[str, object]) -> AsyncIterator[None]:
        """Have a policy of the broker apply to that queue, for as long as this lasts."""
        pattern, text = f"^{re.escape(queue)}$", json.dumps(definition)
        await self.control("set_policy", "--apply-to", "queues", queue, pattern, text)
        try:
            yield
        finally:
            await self.control("clear_policy", queue)

    async def delete(self, queue: str) -> None:
        """Delete a queue, and what waits in it or is on its way there."""

        def delete() -> None:
            connection = pika.BlockingConnection(pika.URLParameters(self.node.url))
            with contextlib.closing(connection):
                connection.channel().queue_delete(queue)

        await asyncio.to_thread(delete)
        self.gone_until = time.monotonic()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncConnection]:
        """A session on the database that is none of ours."""
        # None is kept: a scenario may kill the server behind it.
        if self._engine is None:
            self._engine = create_async_engine(self.database_url, poolclass=NullPool)
        async with self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def locked(self, sku: str) -> AsyncIterator[None]:
        """Have somebody else hold the row of that stock."""
        async with self.session() as session:
            await session.execute(
                text("SELECT 1 FROM sales WHERE sku = :sku FOR UPDATE"), {"sku": sku}
            )
            yield
            await session.rollback()

    # What is there.

    async def count(self, select: str, **values: object) -> int:
        """What `SELECT ...` says, asked on a connection of its own."""
        async with self.session() as session:
            return int(await session.scalar(text(f"SELECT {select}"), values) or 0)

    async def decided(self) -> int:
        """How many orders are decided."""
        return await self.count("count(*) FROM orders")

    async def outcomes(self) -> dict[str, Outcome]:
        """All outcomes, by order id."""
        async with open_ledger(self.database_url) as ledger:
            found: dict[str, Outcome] = {}
            for sku in ("tv", "radio"):
                found |= await ledger.outcomes(sku)
            return found

    async def waiting(self) -> int:
        """How many orders wait in the queue."""
        async with RabbitMQ(self._broker.url, self.topology) as broker:
            return (await broker.depth(self.topology.orders)).ready

    def logs(self) -> str:
        """The last lines of every process and server."""
        nodes = self._broker.nodes if isinstance(self._broker, LinkedCluster) else [self._broker]
        files = sorted(self.folder.glob("*.log"))
        for server in (*nodes, self.database):
            files += sorted(server.folder.rglob("*.log"))
        return "\n".join(
            f"--- {file.name}\n{file.read_text(errors='replace')[-1500:]}" for file in files
        )

    def write(self, observation: Observation) -> None:
        """Add to the history."""
        self._lines.write(encode_line(observation))

    # Beginning and end.

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Stand"]:
        """Start everything; stop it at the end, however that comes."""
        self.database.create_database(self.database_name)
        async with open_ledger(self.database_url) as ledger:
            await ledger.migrate()
            terms: Any = self.layout.holds
            await ledger.create_sale(Sale("tv", self.layout.stock, customer_limit=3, **terms))
            await ledger.create_sale(Sale("radio", 1_000_000))
        async with AsyncExitStack() as exits:
            self._exits = exits
            exits.callback(self._lines.close)
            if self.layout.pooler is not None:
                pooler = pgbouncer(self.database_url, self.layout.pooler)
                self.pooler = exits.enter_context(pooler)
            for name in self.layout.names():
                await self.connect(exits, name)
            exits.push_async_callback(self._stop_all)
            first, *others = self.layout.names()
            await self.start(first)
            async with asyncio.TaskGroup() as starting:
                for name in others:
                    starting.create_task(self.start(name))
            await self.until(
                lambda: all(self.ready(n) for n in self.layout.names() if n.startswith("gateway")),
                "the gateways",
                _READY_SECONDS,
            )
            yield self

    async def connect(self, exits: AsyncExitStack, name: str) -> None:
        """Lay the links of a process that is to come."""
        database = self.pooler.url(self.database_url) if self.pooler else self.database_url
        for to, url in (*self._brokers().items(), ("database", database)):
            port = _port(url)
            self.links[name, to] = await exits.enter_async_context(proxy(lambda p=port: p))  # type: ignore[misc]
        if name.startswith("gateway"):
            self._ports[name] = free_port()
            port = self._ports[name]
            self.doors.append(await exits.enter_async_context(proxy(lambda p=port: p)))  # type: ignore[misc]

    async def _stop_all(self) -> None:
        for link in [*self.links.values(), *self.doors]:
            link.heal()
        for _, running in self._running.values():
            if running.running:
                psutil.Process(running.pid).resume()  # what is frozen would not hear SIGTERM
        async with asyncio.TaskGroup() as stopping:
            for name in list(self._running):
                stopping.create_task(self.stop(name))

    def crowd(self, **changes: Any) -> Crowd:
        """Shoppers of this sale."""
        doors = [f"http://127.0.0.1:{door.port}" for door in self.doors]
        return Crowd(doors, self.write, self.dice, **changes)

    async def settled(self, crowd: Crowd) -> None:
        """Wait until all that was taken is decided, relayed and served, with nobody's help."""

        async def drained() -> bool:
            missing = set(crowd.accepted) - set(await self._decided_ids())
            return not (missing - self.gone(crowd)) and await self.waiting() == 0

        async def relayed() -> bool:
            return await self.count("count(*) FROM outbox WHERE sent_at IS NULL") == 0

        async def served() -> bool:
            done = await self.count("count(*) FROM effects")
            confirmed = await self.count("count(*) FROM orders WHERE status = 'confirmed'")
            rejected = await self.count("count(*) FROM orders WHERE status = 'rejected'")
            return done >= confirmed * len(SERVICES) + rejected  # which get a letter

        await self.until(drained, "every accepted order to be decided")
        await self.until(relayed, "the outbox to be relayed")
        if self.layout.services:
            await self.until(served, "the services")

    def gone(self, crowd: Crowd) -> set[str]:
        """Accepted orders that need not be there any more."""
        return {id for id, asked in crowd.accepted.items() if asked.at < self.gone_until}

    async def _decided_ids(self) -> list[str]:
        async with self.session() as session:
            return list((await session.execute(text("SELECT id FROM orders"))).scalars())

    async def confirmed(self) -> int:
        """How many orders are confirmed."""
        found = await self.outcomes()
        return sum(outcome.status is Status.CONFIRMED for outcome in found.values())

    def check_environment(self) -> dict[str, str]:
        """What `flashsale check` needs to judge this sale."""
        settings = self.settings | {
            "broker_url": self._broker.url,
            "database_url": self.database_url,
        }
        return {f"FLASHSALE_{key.upper()}": value for key, value in settings.items()}


def _port(url: str) -> int:
    found = re.search(r"127\.0\.0\.1:(\d+)", url)
    assert found is not None
    return int(found[1])


def _through(url: str, link: Proxy) -> str:
    return re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{link.port}", url)
