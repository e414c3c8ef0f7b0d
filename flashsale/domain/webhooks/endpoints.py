"""Webhook endpoints: addresses of other programs that are told about events."""

from dataclasses import dataclass

from flashsale.domain.operators.refusals import require_text
from flashsale.domain.webhooks.event_types import EVERYTHING, require_patterns

MOST_ENDPOINTS = 50
"""The most endpoints of an installation."""

SECRET_OVERLAP_SECONDS = 86_400.0
"""How long the secret before a rotation signs beside the new one, if the operator does not say."""

LONGEST_OVERLAP_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class EndpointTerms:
    """What an operator says about an endpoint."""

    url: str
    event_types: tuple[str, ...] = (EVERYTHING,)
    description: str | None = None

    def require_valid(self) -> None:
        """Raise `ChangeRefused` for wrong event types or a wrong description.

        The address is checked by `flashsale.domain.webhooks.addresses.require_url`, as that needs
        to know whether private addresses are allowed.
        """
        require_patterns(self.event_types)
        require_text("description", self.description)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as the ledger keeps it, without its secrets. Times are Unix seconds."""

    id: str
    url: str
    event_types: tuple[str, ...]
    description: str | None
    enabled: bool
    disabled_reason: str | None
    """Why it is disabled, in words. None while it is enabled."""
    disabled_at: float | None
    created_at: float
    version: int
    """Increased by each change of an operator, and when the endpoint is disabled."""
    previous_secret_until: float | None = None
    """Until when the secret before the last rotation signs as well; None without one."""
    failures: int = 0
    """How many attempts have failed since the last success. 0: the endpoint works."""
    failing_since: float | None = None
    paused_until: float | None = None
    """Until when nothing is sent to it, as its latest attempts failed."""


@dataclass(frozen=True, slots=True)
class IssuedSecret:
    """An endpoint and its new secret `whsec_...`, which is shown this one time.

    `secret` is None if the same request was made before: its answer had the secret.
    """

    endpoint: Endpoint
    secret: str | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for an endpoint."""

    endpoint_id: str
    enabled: bool
    gave_up: bool
    """Whether it is disabled because it took nothing any more, and not by an operator."""
    pending: int
    """Deliveries that are still to be made, those to a disabled endpoint included."""
    dead: int
    """Deliveries that were given up, until they are pruned."""
    oldest: float | None
    """When the oldest pending event happened, in Unix seconds."""
