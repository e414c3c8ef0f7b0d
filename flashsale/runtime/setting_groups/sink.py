"""The settings of the HTTP sink: where orders are delivered to, and on what terms."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from yarl import URL

from flashsale.messages.standard_webhooks import parse_secret
from flashsale.runtime.environment import PREFIX, FromEnvironment
from flashsale.sinks.http.address import ReceiverAddress


def _valid_url(text: str) -> str:
    """Return the URL if requests can go there. Raises `ValueError`, which does not repeat it."""
    try:
        url = URL(text)
        port = url.port
    except ValueError as error:
        raise ValueError("must be a URL such as https://shop.example/orders") from error
    if url.scheme not in ("http", "https") or not url.host or not port or re.search(r"\s", text):
        raise ValueError(
            "must be an absolute http or https URL such as https://shop.example/orders"
        )
    if url.user is not None or url.password is not None:
        raise ValueError(
            "must have no user and no password: requests are signed, and may have a token in the"
            " query"
        )
    if "#" in text:
        raise ValueError("must have no fragment: it is never sent")
    return text


class SinkSettings(FromEnvironment):
    """The settings of the HTTP sink. They are a part of `Settings`."""

    sink_url: Annotated[str, AfterValidator(_valid_url)] | None = Field(
        None,
        description="http or https address of the shop's order service, to which the drain delivers"
        " orders. Unset: there is none",
    )
    sink_secret: SecretStr | None = Field(
        None,
        description="secret `whsec_...` (Standard Webhooks) by which each request to"
        " `FLASHSALE_SINK_URL` is signed; 24 to 64 bytes in base64 follow the prefix",
    )
    sink_concurrency: int = Field(
        64, ge=1, le=10_000, description="most requests at once to `FLASHSALE_SINK_URL`"
    )
    sink_timeout_seconds: float = Field(
        10.0,
        gt=0,
        le=300,
        description="seconds that a request to `FLASHSALE_SINK_URL` may take with its answer; half"
        " of them for the connection",
    )
    sink_batch: int | None = Field(
        None,
        ge=1,
        le=1_000,
        description="most orders in one request to `FLASHSALE_SINK_URL`; over 1 it is an array."
        " Unset: one order a request",
    )

    @field_validator("sink_secret")
    @classmethod
    def _secret_is_a_key(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            parse_secret(secret.get_secret_value())
        return secret

    @model_validator(mode="after")
    def _address_has_secret(self) -> Self:
        if self.sink_url is not None and self.sink_secret is None:
            raise ValueError(f"{PREFIX}SINK_URL needs {PREFIX}SINK_SECRET as well")
        return self

    @property
    def receiver(self) -> ReceiverAddress | None:
        """Where orders are delivered to, None if there is no HTTP sink."""
        if self.sink_url is None or self.sink_secret is None:
            return None
        return ReceiverAddress(
            url=self.sink_url,
            key=parse_secret(self.sink_secret.get_secret_value()),
            concurrency=self.sink_concurrency,
            timeout_seconds=self.sink_timeout_seconds,
            batch=self.sink_batch,
        )
