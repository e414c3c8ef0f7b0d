"""The settings of mail, in a module that every process can load without an SMTP client."""

from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from flashsale.runtime.settings_reader import ServiceSettings
from services.builtin.mail import addresses


class MailSettings(ServiceSettings):
    """The settings of the mail service."""

    smtp_url: str | None = Field(
        None,
        pattern=r"^smtps?://",
        description="`smtp://[user:password@]host[:port]` (TLS if the server offers it) or"
        " `smtps://...`. Unset: mails are written to files",
    )
    smtp_connections: int = Field(
        8,
        ge=1,
        le=1_000,
        description="connections to the mail server, and mails that are sent at a time",
    )
    smtp_rate: float | None = Field(
        None,
        gt=0,
        le=10_000,
        description="mails a second that one process sends at most. Unset: no limit",
    )
    mail_folder: str = Field("mail", description="folder for mails that are written to files")
    mail_from: str = Field(
        "Flash sale <sale@localhost>",
        description="sender of mails; its domain is part of every Message-ID",
    )
    mail_to: str = Field(
        "{customer_id}@localhost",
        pattern=r"^[^{}@]*\{customer_id\}[^{}@]*@[^{}@]+$",
        description="address of a customer whose id is no mail address",
    )
    mail_patience_days: float = Field(
        5.0,
        gt=0,
        le=365,
        description="days after the decision until which a mail waits for a server that"
        " can't take it",
    )
    mail_timezone: str = Field(
        "UTC",
        description="time zone of the times in mails, such as `Europe/Berlin`; a mail names it",
    )
    mail_latency_ms: int = Field(
        0, ge=0, le=60_000, description="extra milliseconds for each mail, for demonstrations"
    )

    @field_validator("smtp_url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is None:
            return value
        url = urlsplit(value)
        try:
            url.port  # noqa: B018 it is parsed here
            (url.hostname or "").encode("idna")
        except ValueError:
            url = urlsplit("#")  # say nothing of it, as it may be a part of a password
        if not url.hostname or url.path.strip("/") or url.query or url.fragment:
            raise ValueError(
                "must be user, password, host and port only; write / ? # @ : in a password as"
                " %2F %3F %23 %40 %3A"
            )
        return value

    @field_validator("mail_timezone")
    @classmethod
    def _check_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError("must be a time zone such as Europe/Berlin") from error
        return value

    @field_validator("mail_from")
    @classmethod
    def _check_sender(cls, value: str) -> str:
        addresses.sender(value)
        return value

    @field_validator("mail_to")
    @classmethod
    def _check_recipient(cls, value: str) -> str:
        addresses.Directory(value)
        return value
