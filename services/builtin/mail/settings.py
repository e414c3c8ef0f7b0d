"""The settings of mail, in a module that every process can load without an SMTP client."""

from pydantic import Field

from flashsale.runtime.settings_reader import ServiceSettings


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
    mail_latency_ms: int = Field(
        0, ge=0, le=60_000, description="extra milliseconds for each mail, for demonstrations"
    )
