"""The settings of webhooks, which the service that sends and those who add endpoints share."""

from pydantic import Field

from flashsale.runtime.settings_reader import ServiceSettings


class WebhookSettings(ServiceSettings):
    """The settings of the webhook service."""

    webhook_allow_private: bool = Field(
        False,
        description="whether webhooks may go to private addresses, such as those of one's own"
        " network, and over `http://`",
    )
    webhook_concurrency: int = Field(
        64,
        ge=1,
        le=1_000,
        description="webhooks that one process sends at a time; one is kept for each endpoint, so"
        " set no less than there are endpoints",
    )
    webhook_endpoint_concurrency: int = Field(
        8, ge=1, le=1_000, description="webhooks that one process sends to one endpoint at a time"
    )
    webhook_timeout_seconds: float = Field(
        15.0, gt=0, le=60, description="seconds that an endpoint may take for its answer"
    )
    webhook_backlog: int = Field(
        1_000_000,
        ge=1,
        le=1_000_000_000,
        description="most deliveries that wait for one endpoint; with more it is disabled",
    )
    webhook_log_days: float = Field(
        14.0,
        gt=0,
        le=3_650,
        description="days that attempts to send a webhook stay in the log, and deliveries that were"
        " given up can be seen",
    )
