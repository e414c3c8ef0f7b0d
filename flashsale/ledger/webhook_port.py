"""The part of the ledger's port for webhooks.

`WebhookBoard` is for operators, and `WebhookQueue` for the service that sends. Every method may
raise `LedgerUnavailable`. Secrets leave the ledger in an `IssuedSecret`, once, and in a `Claimed`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from flashsale.domain.audit_entries import Author
from flashsale.domain.webhooks.deliveries import (
    Attempt,
    AttemptEntry,
    Claimed,
    Delivery,
    Replayed,
)
from flashsale.domain.webhooks.endpoints import Backlog, Endpoint, EndpointTerms, IssuedSecret


class WebhookBoard(Protocol):
    """The endpoints as operators see and change them. Each change is in the audit.

    Every change raises `KeyTaken` if the author's idempotency key belongs to another request. With
    a `version`, it raises `ChangedMeanwhile` unless the endpoint is at that version.
    """

    async def endpoints(self) -> list[Endpoint]:
        """Return all endpoints, the oldest first."""

    async def find_endpoint(self, endpoint_id: str) -> Endpoint:
        """Return an endpoint. Raises `EndpointUnknown`."""

    async def create_endpoint(self, terms: EndpointTerms, author: Author) -> IssuedSecret:
        """Add an endpoint, enabled. It gets the events that are decided from now on.

        The caller has checked the address. Raises `ChangeRefused` for wrong terms, or if there are
        `MOST_ENDPOINTS` already.
        """

    async def change_endpoint(
        self, endpoint_id: str, terms: EndpointTerms, author: Author, version: int | None = None
    ) -> Endpoint:
        """Replace the terms of an endpoint. Pending deliveries go to the new address.

        Raises `EndpointUnknown` or `ChangeRefused`.
        """

    async def enable_endpoint(
        self, endpoint_id: str, author: Author, version: int | None = None
    ) -> Endpoint:
        """Send to an endpoint again, now and with all attempts. It also ends a pause.

        What happened while it was disabled is not sent, unless it is replayed. Dead deliveries stay
        dead until they are replayed. Raises `EndpointUnknown`.
        """

    async def disable_endpoint(
        self, endpoint_id: str, author: Author, version: int | None = None
    ) -> Endpoint:
        """Send nothing more to an endpoint. Pending deliveries wait until it is enabled.

        The reason of the author is the reason that is shown. Raises `EndpointUnknown`.
        """

    async def rotate_secret(
        self,
        endpoint_id: str,
        author: Author,
        overlap_seconds: float | None = None,
        version: int | None = None,
    ) -> IssuedSecret:
        """Give an endpoint a new secret. The one before signs as well for `overlap_seconds`.

        None stands for a day; 0 ends it at once. A secret that still overlaps from an earlier
        rotation ends now. Raises `EndpointUnknown` or `ChangeRefused`.
        """

    async def delete_endpoint(
        self, endpoint_id: str, author: Author, version: int | None = None
    ) -> None:
        """Delete an endpoint and its deliveries. Its attempts stay in the log until it is pruned.

        Raises `EndpointUnknown`.
        """

    async def send_test(self, endpoint_id: str, author: Author) -> str:
        """Have a `webhook.test` event sent, once and also during a pause; return its webhook id.

        The log of attempts shows what came of it. Raises `EndpointUnknown`, or `ChangeRefused` if
        the endpoint is disabled.
        """

    async def replay(
        self, endpoint_id: str, since: float, until: float, author: Author
    ) -> Replayed:
        """Send again what the endpoint subscribes to, of orders decided in `since <= t < until`.

        Each event has the webhook id that it had before. Dead deliveries of the range become
        pending. One call makes a bounded number; `Replayed.more_from` is the `since` of the next.
        A repeated call with the author's idempotency key returns what the first one did. Raises
        `EndpointUnknown`, or `ChangeRefused` for an empty range or a disabled endpoint.
        """

    async def deliveries(
        self, endpoint_id: str, limit: int, after: int | None = None
    ) -> list[Delivery]:
        """Return up to `limit` pending and dead deliveries, the oldest first, after this id."""

    async def attempts(
        self, endpoint_id: str, limit: int, before: int | None = None
    ) -> list[AttemptEntry]:
        """Return up to `limit` attempts, the newest first; only those before an id, if given."""

    async def backlogs(self) -> list[Backlog]:
        """Return what waits for each endpoint."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """An enabled endpoint, and the patterns of the event types that it gets."""

    endpoint_id: str
    event_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """How many deliveries a process can make now."""

    in_flight: Mapping[str, int]
    """How many it makes at this moment, by endpoint."""
    each: int
    """The most at a time for one endpoint."""
    total: int
    """The most at a time for all endpoints."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Deliveries that a process is to make, and when to ask again."""

    deliveries: list[Claimed]
    next_at: float | None
    """When the next delivery is due, in Unix seconds; None if none waits for its time."""
    endpoints: int
    """How many endpoints are enabled."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the record of attempts led to."""

    disabled: list[str]
    """The ids of the endpoints that were disabled by it."""


class WebhookQueue(Protocol):
    """The deliveries as the service that sends them sees them. Any number of processes share it."""

    async def subscriptions(self) -> list[Subscription]:
        """Return the enabled endpoints."""

    async def claim(self, now: float, lease_seconds: float, room: Room) -> Claims:
        """Claim deliveries that are due at `now`, for `lease_seconds`.

        Of one order, only the earliest delivery to an endpoint is claimed. An endpoint whose latest
        attempt failed gets one at a time. After the lease others may claim the delivery.
        """

    async def record(self, attempts: Sequence[Attempt], now: float) -> Recorded:
        """Write what came of attempts, in one transaction.

        An attempt whose lease was lost is in the log only. A dead delivery and the answer 410
        disable the endpoint, which is audited and told to the other endpoints.
        """

    async def give_back(self, deliveries: Sequence[Claimed], now: float) -> None:
        """End the leases of deliveries that were not attempted."""

    async def limit_backlogs(self, most: int, now: float) -> Recorded:
        """Disable the endpoints for which more than `most` deliveries wait."""

    async def prune(self, before: float) -> int:
        """Delete some of the attempts and dead deliveries from before `before`; return how many."""
