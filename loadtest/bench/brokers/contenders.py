"""The queues that are measured: a name, a server, and the adapter that opens the queue on it."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache

from loadtest.bench.brokers.adapters.beanstalkd import open_beanstalkd
from loadtest.bench.brokers.adapters.nats_jetstream import open_nats_jetstream
from loadtest.bench.brokers.adapters.postgresql_batches import open_postgresql_batches
from loadtest.bench.brokers.adapters.postgresql_rows import open_postgresql_rows
from loadtest.bench.brokers.adapters.rabbitmq import rabbitmq_queue
from loadtest.bench.brokers.adapters.rabbitmq_stream import open_rabbitmq_stream
from loadtest.bench.brokers.adapters.redis_stream import open_redis_stream
from loadtest.bench.brokers.port import OpenQueue
from loadtest.bench.brokers.servers.beanstalkd import beanstalkd
from loadtest.bench.brokers.servers.nats import nats_program, nats_server
from loadtest.bench.brokers.servers.redis import Fsync, redis_server
from loadtest.servers import Installation, Server, postgres, rabbitmq


@dataclass(frozen=True)
class Running:
    """A running server and the address of its queue."""

    server: Server
    address: str


@dataclass(frozen=True)
class Contender:
    """A kind of queue. `bounded` if it can refuse orders over a bound."""

    name: str
    title: str
    run: Callable[[], AbstractContextManager[Running]]
    open: OpenQueue
    version: Callable[[], str]
    bounded: bool = True


@contextmanager
def _rabbitmq() -> Iterator[Running]:
    with rabbitmq() as node:
        yield Running(node, node.url)


@contextmanager
def _postgresql() -> Iterator[Running]:
    with postgres() as server:
        yield Running(server, server.dsn())


def _redis(fsync: Fsync) -> Callable[[], AbstractContextManager[Running]]:
    @contextmanager
    def run() -> Iterator[Running]:
        with redis_server(fsync) as server:
            yield Running(server, server.url)

    return run


def _nats(*, always: bool) -> Callable[[], AbstractContextManager[Running]]:
    @contextmanager
    def run() -> Iterator[Running]:
        with nats_server(always=always) as server:
            yield Running(server, server.url)

    return run


@contextmanager
def _beanstalkd() -> Iterator[Running]:
    with beanstalkd() as server:
        yield Running(server, server.url)


@cache
def _printed_version(*command: str) -> str:
    """Return the first version number that a command prints."""
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"\d+\.\d+(\.\d+)?", printed)
    if found is None:
        raise ValueError(f"no version in what {command[0]} prints: {printed[:200]}")
    return found[0]


def _rabbitmq_version() -> str:
    command = Installation.chosen().command("rabbitmqctl", "rabbitmq-server", "version")
    return _printed_version(*command)


def _postgresql_version() -> str:
    return _printed_version(*Installation.chosen().command("postgres", "postgresql", "--version"))


def _redis_version() -> str:
    return _printed_version(*Installation().command("redis-server", "redis-server", "--version"))


def _nats_version() -> str:
    return _printed_version(nats_program(), "--version")


def _beanstalkd_version() -> str:
    return _printed_version(*Installation().command("beanstalkd", "beanstalkd", "-v"))


CONTENDERS = (
    Contender(
        *("rabbitmq_classic", "RabbitMQ classic queue, version 2", _rabbitmq),
        *(rabbitmq_queue("classic"), _rabbitmq_version),
    ),
    Contender(
        *("rabbitmq_quorum", "RabbitMQ quorum queue, one node", _rabbitmq),
        *(rabbitmq_queue("quorum"), _rabbitmq_version),
    ),
    Contender(
        *("rabbitmq_stream", "RabbitMQ stream", _rabbitmq),
        *(open_rabbitmq_stream, _rabbitmq_version),
        bounded=False,
    ),
    Contender(
        *("postgresql_batches", "PostgreSQL, batches and a counter row", _postgresql),
        *(open_postgresql_batches, _postgresql_version),
    ),
    Contender(
        *("postgresql_rows", "PostgreSQL, a row at a time, 16 connections", _postgresql),
        *(open_postgresql_rows, _postgresql_version),
    ),
    Contender(
        *("redis_always", "Redis stream, Lua bound, fsync always", _redis("always")),
        *(open_redis_stream, _redis_version),
    ),
    Contender(
        *("redis_everysec", "Redis stream, Lua bound, fsync every second", _redis("everysec")),
        *(open_redis_stream, _redis_version),
    ),
    Contender(
        *("nats_default", "NATS JetStream, fsync every two minutes", _nats(always=False)),
        *(open_nats_jetstream, _nats_version),
    ),
    Contender(
        *("nats_always", "NATS JetStream, fsync always", _nats(always=True)),
        *(open_nats_jetstream, _nats_version),
    ),
    Contender(
        *("beanstalkd", "beanstalkd, fsync always", _beanstalkd),
        *(open_beanstalkd, _beanstalkd_version),
        bounded=False,
    ),
)


def contender(name: str) -> Contender:
    """Return the contender of that name."""
    return next(one for one in CONTENDERS if one.name == name)
