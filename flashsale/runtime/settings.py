"""Environment -> typed, validated settings. `docs/settings.md` has its table."""

import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from flashsale.broker.registry import adapter_of
from flashsale.runtime.environment import PREFIX as PREFIX
from flashsale.runtime.environment import FromEnvironment
from flashsale.runtime.errors import SettingsError as SettingsError
from flashsale.runtime.installed import installed
from flashsale.runtime.service_links import service_links

GROUP = "flashsale.settings"
"""The entry points by which installed services name their settings, each a `ServiceSettings`."""

Loaded = TypeVar("Loaded", bound=BaseSettings)

Port = Annotated[int, Field(ge=0, le=65535)]


class ServiceSettings(FromEnvironment):
    """The base of a service's own settings, from `FLASHSALE_...` in the environment, too."""


class Settings(FromEnvironment):
    """Every setting of the gateway itself, from `FLASHSALE_...` in the environment."""

    broker_url: str = Field(
        "memory://",
        description="`amqp://user:password@host:5672/` (or `amqps://`), several with commas between"
        " for the nodes of a cluster; or `memory://`: a broker in this process, whose queued orders"
        " do not survive it",
    )
    broker_prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,64}$",
        description="in front of every queue and exchange, so that several sales share a broker",
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
        description="`postgresql+asyncpg://user:password@host/database` or"
        " `sqlite+aiosqlite:///FILE`",
    )
    secret_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="makes the order ids of keyed orders; 16 characters or more, the same for"
        " every gateway. Unset: a random one that the database keeps",
    )
    admin_token: SecretStr | None = Field(
        None,
        min_length=8,
        description="opens the operator's page at `/ops`, as the password of any user; 8 characters"
        " or more. Unset: there is no such page",
    )
    queue_max_length: int = Field(
        2000, ge=1, le=10_000_000, description="orders that may wait; more are refused with 503"
    )
    queue_type: Literal["classic", "quorum"] = Field(
        "classic", description="type of RabbitMQ queue"
    )
    drain_rate: int = Field(
        2000,
        ge=1,
        le=1_000_000,
        description="orders a second that the database gets at the most, in any second",
    )
    drain_batch: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="orders in one transaction at the most, not over the drain rate. Unset: a"
        " fortieth of the drain rate",
    )
    publish_timeout_seconds: float = Field(
        2.0, gt=0, le=60, description="how long a gateway waits for the broker's confirm"
    )
    gateway_host: str = Field("127.0.0.1", description="address the gateway listens on")
    gateway_port: Port = Field(8080, description="port the gateway listens on; 0: any free one")
    gateway_workers: int = Field(
        1,
        ge=1,
        le=64,
        description="processes of a gateway that share its port (`SO_REUSEPORT`), for more than one"
        " core; `/metrics` sums them up",
    )
    metrics_host: str = Field("127.0.0.1", description="address of `/metrics`")
    metrics_port: Port | None = Field(
        None,
        description="port of `/metrics`. Unset: gateway and `run` 9090, consumer 9091, services"
        " 9092",
    )
    status_orders: int = Field(
        200_000,
        ge=1_000,
        le=10_000_000,
        description="orders that a gateway remembers; more than may wait, some 400 bytes each",
    )
    status_seconds: float = Field(
        600.0, gt=0, le=86_400, description="how long a gateway remembers an order that was decided"
    )
    status_queries: int = Field(
        100,
        ge=1,
        le=10_000,
        description="queries a second at the most by which a gateway looks up orders that it does"
        " not know, whatever arrives",
    )
    wait_seconds: float = Field(
        30.0, gt=0, le=300, description="how long a request with `Prefer: wait` may wait"
    )
    streams: int = Field(
        20_000, ge=1, le=1_000_000, description="event streams that a gateway keeps open"
    )
    shutdown_seconds: float = Field(
        1.0,
        ge=0,
        le=300,
        description="how long a gateway that was told to stop still serves while `/readyz` says"
        " 503, so that the balancer turns away first",
    )
    services: str = Field(
        "all",
        pattern=r"^[a-z][a-z0-9_-]*(,[a-z][a-z0-9_-]*)*$",
        description="what runs after a sale: names with commas between, `all` that are installed,"
        " or `none`. Their queues stand before the first event, so that none is missed",
    )
    outbox_seconds: float = Field(
        86_400.0, gt=0, description="how long the outbox keeps an event that the broker has"
    )
    log_format: Literal["console", "json"] = Field("console", description="form of the log")
    tracing: bool = Field(
        False,
        description="whether to make spans of the way of an order, by OpenTelemetry, which"
        " `flashsale-gateway[tracing]` installs. Its own variables say where they go and how many"
        " are made",
    )

    @field_validator("broker_url")
    @classmethod
    def _broker_scheme(cls, url: str) -> str:
        adapter_of(url)
        return url

    @field_validator("database_url")
    @classmethod
    def _database_driver(cls, url: str) -> str:
        try:
            driver = make_url(url).drivername
        except ArgumentError:
            driver = ""
        if driver not in ("postgresql+asyncpg", "sqlite+aiosqlite"):
            raise ValueError("must be postgresql+asyncpg://... or sqlite+aiosqlite:///FILE")
        if driver.startswith("sqlite") and make_url(url).database in (None, "", ":memory:"):
            raise ValueError("must name a file: sqlite+aiosqlite:///FILE")
        return url

    @model_validator(mode="after")
    def _batch_fits_rate(self) -> "Settings":
        if self.drain_batch is not None and self.drain_batch > self.drain_rate:
            raise ValueError(
                f"{PREFIX}DRAIN_BATCH={self.drain_batch}: must not be over the drain rate"
                f" ({self.drain_rate})"
            )
        return self

    @property
    def embedded(self) -> bool:
        """Whether the broker is in this process."""
        return not adapter_of(self.broker_url).shared


def load_settings(**overrides: Any) -> Settings:
    """Read the settings, and check those of the installed services.

    Raises `SettingsError`, which names all that are wrong.
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


def load(declared: type[Loaded], **overrides: Any) -> Loaded:
    """Read the settings of one class. Raises `SettingsError`."""
    try:
        return declared(**{k: v for k, v in overrides.items() if v is not None})
    except ValidationError as error:
        raise SettingsError("; ".join(_in_words(declared, error))) from error


def installed_settings() -> list[type[BaseSettings]]:
    """Return the settings of the installed services. Raises `SettingsError`."""
    found: list[type[BaseSettings]] = []
    for name, declared in installed(GROUP).items():
        if not (isinstance(declared, type) and issubclass(declared, BaseSettings)):
            raise SettingsError(f"{GROUP} {name}: {declared!r} is no class of settings")
        found.append(declared)
    return found


def variables(declared: type[BaseSettings]) -> dict[str, FieldInfo]:
    """Return the fields of a class of settings by the variables that they are read from."""
    prefix = _prefix(declared)
    return {prefix + name.upper(): field for name, field in declared.model_fields.items()}


def unknown_settings(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return variables with our prefix that are no setting: a slip of the pen, most likely."""
    known = {name for declared in _every_class() for name in variables(declared)}
    known |= service_links(environment)
    return sorted(
        name
        for name in environment
        if name.startswith(PREFIX)
        and name not in known
        and not name.startswith((f"{PREFIX}TEST_", f"{PREFIX}LOAD_"))
    )


def ignored_service_links(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return variables with our prefix that an orchestrator has set for a service near by."""
    return sorted(name for name in service_links(environment) if name.startswith(PREFIX))


def _every_class() -> list[type[BaseSettings]]:
    return [Settings, *installed_settings()]


def _prefix(declared: type[BaseSettings]) -> str:
    return declared.model_config.get("env_prefix", "")


def _in_words(declared: type[BaseSettings], error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        message = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:
            yield message
            continue
        name = _prefix(declared) + str(problem["loc"][0]).upper()
        # A URL may hold a password, a secret is one.
        shown = (
            "..."
            if "SECRET" in name or "TOKEN" in name or "@" in str(problem["input"])
            else problem["input"]
        )
        yield f"{name}={shown}: {message[0].lower()}{message[1:]}"


def settings_table() -> str:
    """Return the settings as a Markdown table, those of the installed services last."""
    rows = ["| variable | default | what it is |", "|---|---|---|"]
    for declared in _every_class():
        for name, field in variables(declared).items():
            default = "" if field.default in (None, "") else f"`{field.default}`"
            rows.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"
