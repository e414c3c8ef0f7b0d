"""Typed, validated settings from the environment. `docs/settings.md` has their table."""

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from sqlalchemy.engine import make_url

from flashsale.broker.registry import adapter_of
from flashsale.domain.holds.pay_address import PayAddress
from flashsale.ledger import OWN_SCHEMA, postgres_address
from flashsale.runtime.addresses import Host, Networks, Origins, PublicPath
from flashsale.runtime.environment import PREFIX as PREFIX
from flashsale.runtime.errors import SettingsError as SettingsError
from flashsale.runtime.setting_groups.clients import ClientSettings
from flashsale.runtime.setting_groups.payments import PaymentSettings
from flashsale.runtime.setting_groups.sink import SinkSettings
from flashsale.runtime.setting_groups.tokens import TokenSettings
from flashsale.runtime.settings_reader import installed_settings, load

Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(SinkSettings, TokenSettings, ClientSettings, PaymentSettings):
    """The settings of the gateway itself, from variables `FLASHSALE_...`."""

    broker_url: str = Field(
        "memory://",
        description="`amqp://user:password@host:5672/` (or `amqps://`), for a cluster several with"
        " commas between; or `memory://`: a broker in this process, which loses queued orders when"
        " the process ends",
    )
    broker_prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,64}$",
        description="prefix of the names of queues and exchanges, so that several sales can share a"
        " broker",
    )
    broker_management_url: str | None = Field(
        None,
        pattern=r"^https?://[^/\s]+(/\S*)?$",
        description="RabbitMQ's management API, such as `http://host:15672`. At its start a process"
        " looks there, as the user of the broker, for policies that remove orders. Unset: it does"
        " not look",
    )
    database_url: str = Field(
        "sqlite+aiosqlite:///flashsale.db",
        description="`postgresql+asyncpg://user:password@host/database`, with libpq's parameters"
        " such as `?sslmode=verify-full`, or `sqlite+aiosqlite:///FILE`",
    )
    database_schema: str = Field(
        OWN_SCHEMA,
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="schema of the tables in PostgreSQL, which `flashsale migrate` creates",
    )
    secret_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="secret for the order ids of keyed orders; 16 characters or more, the same for"
        " every gateway. Unset: a random secret in the database",
    )
    admin_token: SecretStr | None = Field(
        None,
        min_length=8,
        description="token of operators, for `/admin` as a bearer token, and for the page at `/ops`"
        " as the password of any user; 8 characters or more. Unset: there is no operator",
    )
    viewer_token: SecretStr | None = Field(
        None,
        min_length=8,
        description="token of those who may look at `/admin` and `/ops` and change nothing; 8"
        " characters or more",
    )
    queue_max_length: int = Field(
        2000, ge=1, le=10_000_000, description="most orders in the queue; more are refused with 503"
    )
    queue_type: Literal["classic", "quorum"] = Field(
        "quorum",
        description="type of the queues in RabbitMQ: a quorum queue confirms what is on the disk, a"
        " classic queue may lose confirmed orders by a power cut",
    )
    drain_rate: int = Field(
        2000,
        ge=1,
        le=1_000_000,
        description="most orders that go to the database in any second, and with"
        " `FLASHSALE_SINK_URL` most attempts to deliver one",
    )
    drain_batch: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="most orders in one transaction, up to the drain rate. Unset: a fortieth of the"
        " drain rate, and up to three times that if the drain is late",
    )
    drain_target_ms: float | None = Field(
        None,
        gt=0,
        le=60_000,
        description="milliseconds that the transaction of a batch may take: if the database is"
        " slower, the drain goes slower, down to a tenth of its rate. Unset: always at its rate."
        " Not with `FLASHSALE_SINK_URL`",
    )
    publish_timeout_seconds: float = Field(
        2.0, gt=0, le=60, description="seconds that a gateway waits for the broker's confirm"
    )
    gateway_host: Host = Field("127.0.0.1", description="address that the gateway listens on")
    gateway_port: Port = Field(
        8080, description="port that the gateway listens on; 0: any free one"
    )
    gateway_workers: int = Field(
        1,
        ge=1,
        le=64,
        description="processes of a gateway, to use more than one core; they share its port"
        " (`SO_REUSEPORT`), and `/metrics` is their sum",
    )
    metrics_host: Host = Field("127.0.0.1", description="address of `/metrics`")
    metrics_port: Port | None = Field(
        None,
        description="port of `/metrics`. Unset: gateway and `run` 9090, consumer 9091, services"
        " 9092",
    )
    customer_id_casefold: bool = Field(
        False,
        description="whether customer ids that differ only in case, `Alice@x` and `alice@x` for"
        " example, are one customer; the same for every gateway, and not to be changed during a"
        " sale",
    )
    status_orders: int = Field(
        200_000,
        ge=1_000,
        le=10_000_000,
        description="most orders in the memory of a gateway, about 400 bytes each; set more than"
        " `FLASHSALE_QUEUE_MAX_LENGTH`",
    )
    status_seconds: float = Field(
        600.0, gt=0, le=86_400, description="seconds that a gateway remembers a decided order"
    )
    status_queries: int = Field(
        100,
        ge=1,
        le=10_000,
        description="most database queries a second of a gateway for orders that are not in its"
        " memory",
    )
    wait_seconds: float = Field(
        30.0, gt=0, le=300, description="longest wait of a request with `Prefer: wait`, in seconds"
    )
    streams: int = Field(
        20_000, ge=1, le=1_000_000, description="most open event streams of a gateway"
    )
    shutdown_seconds: float = Field(
        1.0,
        ge=0,
        le=300,
        description="seconds that a gateway serves requests after the signal to stop, while"
        " `/readyz` answers 503, so that the load balancer stops sending first",
    )
    keep_alive_seconds: float = Field(
        620.0,
        gt=0,
        le=86_400,
        description="how long an idle connection stays open; longer than at the balancer, which is"
        " 600 s at some clouds",
    )
    header_seconds: float = Field(
        10.0,
        gt=0,
        le=600,
        description="how long the headers of a request may take from their first byte",
    )
    cors_origins: Origins = Field(
        "",
        description="origins whose pages may order here, such as `https://shop.example`, with"
        " commas between. Unset: none but the gateway's own",
    )
    public_path: PublicPath = Field(
        "",
        description="path at which a proxy shows the gateway to shoppers, such as `/flash`; with or"
        " without it in the requests of the proxy",
    )
    trusted_proxies: Networks = Field(
        "",
        description="networks of proxies whose `X-Forwarded-Prefix` and"
        " `FLASHSALE_CLIENT_HEADER` count, commas between",
    )
    services: str = Field(
        "all",
        pattern=r"^[a-z][a-z0-9_-]*(,[a-z][a-z0-9_-]*)*$",
        description="services after the sale: names with commas between, `all` for every installed"
        " one, or `none`. Their queues are declared before the first event, so that they miss none",
    )
    outbox_seconds: float = Field(
        86_400.0, gt=0, description="seconds that the outbox keeps a sent event"
    )
    log_format: Literal["console", "json"] = Field("console", description="format of the log")
    tracing: bool = Field(
        False,
        description="whether to record OpenTelemetry spans; needs `flashsale-gateway[tracing]`. The"
        " variables `OTEL_...` set the exporter and the sampler",
    )

    @field_validator("broker_url")
    @classmethod
    def _broker_scheme(cls, url: str) -> str:
        adapter_of(url)
        return url

    @field_validator("database_url")
    @classmethod
    def _database_driver(cls, url: str) -> str:
        match url.partition("://")[0]:
            case "postgresql+asyncpg":
                postgres_address(url)
            case "sqlite+aiosqlite":
                if make_url(url).database in (None, "", ":memory:"):
                    raise ValueError("must name a file: sqlite+aiosqlite:///FILE")
            case _:
                raise ValueError("must be postgresql+asyncpg://... or sqlite+aiosqlite:///FILE")
        return url

    @field_validator("database_schema")
    @classmethod
    def _schema_not_of_postgresql(cls, name: str) -> str:
        if name.startswith("pg_") or name == "information_schema":
            raise ValueError("PostgreSQL keeps the names pg_... and information_schema for itself")
        return name

    @model_validator(mode="after")
    def _batch_fits_rate(self) -> "Settings":
        if self.drain_batch is not None and self.drain_batch > self.drain_rate:
            raise ValueError(
                f"{PREFIX}DRAIN_BATCH={self.drain_batch}: must not be over the drain rate"
                f" ({self.drain_rate})"
            )
        return self

    @model_validator(mode="after")
    def _rate_of_sink_is_fixed(self) -> "Settings":
        if self.sink_url is not None and self.drain_target_ms is not None:
            raise ValueError(
                f"{PREFIX}DRAIN_TARGET_MS: the rate follows the database, so it can't be set with"
                f" {PREFIX}SINK_URL, whose receiver says by 429 and 503 that it is too much"
            )
        return self

    @model_validator(mode="after")
    def _demonstration_is_embedded(self) -> "Settings":
        if self.demo_payments and not self.embedded:
            raise ValueError(
                f"{PREFIX}DEMO_PAYMENTS: anybody could pay without money, so it needs"
                f" {PREFIX}BROKER_URL=memory://"
            )
        return self

    @property
    def embedded(self) -> bool:
        """Whether the broker is inside this process."""
        return not adapter_of(self.broker_url).shared

    @property
    def demonstrates_payments(self) -> bool:
        """Whether there is a demonstration of a payment page."""
        return self.may_demonstrate(embedded=self.embedded)

    @property
    def pay_address(self) -> PayAddress | None:
        """The address at which orders are paid for, if there is one."""
        if self.demonstrates_payments:
            return PayAddress(f"{self.public_path}/demo/pay/{{order_id}}")
        return self.shop_pay_address


def load_settings(**overrides: Any) -> Settings:
    """Read the settings, and check those of the installed services, too.

    Raises `SettingsError`, which names every wrong setting.
    """
    wrong: list[str] = []
    for declared in installed_settings():
        try:
            load(declared)
        except SettingsError as error:
            wrong.append(str(error))
    try:
        settings = load(Settings, **overrides)
    except SettingsError as error:
        raise SettingsError("; ".join([str(error), *wrong])) from error
    if wrong:
        raise SettingsError("; ".join(wrong))
    return settings
