"""The settings of mail. Apart, as every process reads them, and only one needs an SMTP client."""

from pydantic import Field

from flashsale.runtime.settings import ServiceSettings


class MailSettings(ServiceSettings):
    """Where mail goes, and from whom."""

    smtp_url: str | None = Field(
        None,
        pattern=r"^smtps?://",
        description="`smtp://[user:password@]host[:port]` (TLS if the server offers it) or"
        " `smtps://...`. Unset: mail is written to files",
    )
    smtp_connections: int = Field(8, ge=1, le=1_000, description="connections to the mail server")
    mail_folder: str = Field("mail", description="where mail is written to, a file each")
    mail_from: str = Field(
        "Flash sale <sale@localhost>",
        description="sender of the mail; its domain is part of every Message-ID",
    )
    mail_to: str = Field(
        "{customer_id}@localhost",
        pattern=r"^[^{}@]*\{customer_id\}[^{}@]*@[^{}@]+$",
        description="a customer's address",
    )
    mail_latency_ms: int = Field(
        0, ge=0, le=60_000, description="how long mail takes in addition, for demonstrations"
    )
