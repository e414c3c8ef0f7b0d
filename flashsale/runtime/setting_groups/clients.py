"""The settings of clients: their limits, how they are told apart, and TLS to them."""

from typing import Literal, Self

from pydantic import Field, model_validator

from flashsale.runtime.environment import PREFIX, FromEnvironment


class ClientSettings(FromEnvironment):
    """The settings of limits and TLS. They are a part of `Settings`."""

    client_rate: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="orders a second of one client, such as `0.5`; more are refused with 429."
        " Unset: no limit",
    )
    client_burst: int = Field(
        10, ge=1, le=1_000_000, description="orders that a client may send at once"
    )
    client_read_rate: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="other requests a second of one client, pages and event streams among them;"
        " more are refused with 429. Unset: no limit",
    )
    client_read_burst: int = Field(
        100, ge=1, le=1_000_000, description="other requests that a client may send at once"
    )
    client_connections: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="open connections of one address to each process of a gateway, and open event"
        " streams and long polls of one client there; more are refused with 429. Unset: no limit",
    )
    client_table: int = Field(
        100_000,
        ge=1_000,
        le=10_000_000,
        description="clients that each limit of a gateway remembers, about 150 bytes each",
    )
    client_ipv6_prefix: int = Field(
        64,
        ge=32,
        le=128,
        description="bits of an IPv6 address that tell one client from another",
    )
    client_header: Literal["X-Forwarded-For", "Forwarded"] = Field(
        "X-Forwarded-For",
        description="the one header in which the proxies of `FLASHSALE_TRUSTED_PROXIES` tell the"
        " address of the client: `X-Forwarded-For` or `Forwarded`",
    )
    tls_cert: str | None = Field(
        None,
        description="file of the certificate and its chain, in PEM, for HTTPS at the gateway. It is"
        " read again when it changes",
    )
    tls_key: str | None = Field(
        None, description="file of the key of `FLASHSALE_TLS_CERT`, in PEM and without a password"
    )

    @model_validator(mode="after")
    def _certificate_has_key(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("CERT", "KEY") if self.tls_key is None else ("KEY", "CERT")
            raise ValueError(f"{PREFIX}TLS_{given} needs {PREFIX}TLS_{missing} as well")
        return self

    @property
    def limits_clients(self) -> bool:
        """Whether any limit of clients is set."""
        limits = (self.client_rate, self.client_read_rate, self.client_connections)
        return any(limit is not None for limit in limits)
