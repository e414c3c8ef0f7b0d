"""The contestants, with the commands and settings to start them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contestant:
    """A gateway and its consumer.

    Commands are Python modules with arguments. Commands and settings may contain `{port}`,
    `{amqp}`, `{dsn}`, `{url}` and `{rate}`.
    """

    name: str
    title: str
    gateway: tuple[str, ...]
    queue: str = ""  # empty: no queue
    consumer: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    paced: Mapping[str, str] = field(default_factory=dict)
    unpaced: Mapping[str, str] = field(default_factory=dict)
    # About the number of orders that the consumer drains in some seconds.
    unpaced_orders: int = 4_000

    @property
    def prefix(self) -> str:
        """The prefix of the names of its figures. Ours have none."""
        return "" if self is GATEWAY else f"{self.name}_"


def _uvicorn(app: str) -> tuple[str, ...]:
    return ("uvicorn", app, "--port", "{port}", "--no-access-log")


_PEER = {"AMQP_URL": "{amqp}", "DATABASE_URL": "{dsn}"}

BARE = Contestant("bare", "bare aiohttp handler", ("loadtest.load.bare_handler", "{port}"))

GATEWAY = Contestant(
    "gateway",
    "flashsale-gateway",
    ("flashsale", "gateway"),
    "sale.orders",
    ("flashsale", "consumer"),
    settings={
        "FLASHSALE_BROKER_URL": "{amqp}",
        "FLASHSALE_DATABASE_URL": "{url}",
        "FLASHSALE_GATEWAY_PORT": "{port}",
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
        "FLASHSALE_QUEUE_MAX_LENGTH": "10000000",
    },
    paced={"FLASHSALE_DRAIN_RATE": "{rate}"},
    unpaced={"FLASHSALE_DRAIN_RATE": "1000000", "FLASHSALE_DRAIN_BATCH": "500"},
    unpaced_orders=50_000,
)

AIO_PIKA = Contestant(
    "aio_pika",
    "aiohttp + aio-pika",
    ("loadtest.peers.aio_pika_gateway", "{port}"),
    "aio-pika-orders",
    ("loadtest.peers.aio_pika_consumer",),
    settings=_PEER,
    paced={"DRAIN_RATE": "{rate}"},
    unpaced={"DRAIN_RATE": "1000000"},
)

FASTSTREAM = Contestant(
    "faststream",
    "FastAPI + FastStream",
    _uvicorn("loadtest.peers.faststream_gateway:app"),
    "faststream-orders",
    ("faststream", "run", "loadtest.peers.faststream_consumer:app"),
    settings=_PEER,
    paced={"DRAIN_RATE": "{rate}"},
    unpaced={"DRAIN_RATE": "1000000"},
)

CELERY = Contestant(
    "celery",
    "FastAPI + Celery",
    _uvicorn("loadtest.peers.celery_gateway:app"),
    "celery-orders",
    ("celery", "-A", "loadtest.peers.celery_worker", "worker"),
    settings=_PEER,
    paced={"RATE_LIMIT": "{rate}/s"},
)

CONTESTANTS = (BARE, GATEWAY, AIO_PIKA, FASTSTREAM, CELERY)
PEERS = (AIO_PIKA, FASTSTREAM, CELERY)
DRAINING = (GATEWAY, *PEERS)
