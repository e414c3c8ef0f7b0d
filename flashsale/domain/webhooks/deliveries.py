"""Deliveries: one event that is to be sent to one endpoint, and the attempts to send it."""

from dataclasses import dataclass
from enum import StrEnum

SERVICE = "webhook"
"""The name of the service that sends."""

LONGEST_ERROR = 200
"""The most characters of the error of an attempt."""


def webhook_id(event_id: str, endpoint_id: str) -> str:
    """Return the id by which an endpoint recognises an event, the same in every attempt.

    It has no dot, as a dot separates the parts of what is signed.
    """
    return f"{event_id}-{endpoint_id}"


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """An event that may be sent to endpoints. `body` is the whole JSON text that is sent."""

    event_id: str
    type: str
    occurred_at: float
    """When it happened, in Unix seconds. The events of one order are sent in this order."""
    body: str
    order_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that is not made yet, as operators see it. Times are Unix seconds."""

    id: int
    endpoint_id: str
    webhook_id: str
    event_id: str
    type: str
    order_id: str | None
    occurred_at: float
    attempts: int
    """How many attempts have failed."""
    next_at: float
    """When it is tried next, if no earlier event of its order and no pause is in the way."""
    error: str | None
    """Why the latest attempt failed."""
    dead_at: float | None
    """When it was given up; None while it is pending."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process may make until its lease ends."""

    id: int
    claim: str
    """Names this claim, so that a process whose lease has ended writes nothing."""
    endpoint_id: str
    url: str
    secrets: tuple[str, ...]
    """The secrets that sign it: the current one, and the one before while it counts."""
    event_id: str
    type: str
    order_id: str | None
    occurred_at: float
    body: str
    traceparent: str | None
    attempts: int
    """How many attempts have failed before this one."""

    @property
    def webhook_id(self) -> str:
        """The id by which the endpoint recognises the event."""
        return webhook_id(self.event_id, self.endpoint_id)


class AttemptResult(StrEnum):
    """What an attempt came to."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """It is tried again."""
    DEAD = "dead"
    """This was the last attempt."""
    GONE = "gone"
    """The endpoint answered 410: it wants nothing any more."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to make a delivery, as the sender reports it."""

    delivery: Claimed
    result: AttemptResult
    started_at: float
    milliseconds: int
    status: int | None = None
    """The status of the answer; None if there was none."""
    error: str | None = None
    """Why it failed, in at most `LONGEST_ERROR` characters; no text of the receiver."""
    retry_at: float | None = None
    """When a failed delivery is tried again."""
    pause_until: float | None = None
    """Until when the endpoint asked to be left alone."""


@dataclass(frozen=True, slots=True)
class AttemptEntry:
    """An attempt in the log. Times are Unix seconds."""

    id: int
    endpoint_id: str
    webhook_id: str
    event_id: str
    type: str
    order_id: str | None
    attempt: int
    """1 for the first attempt of a delivery, which a replay counts anew."""
    at: float
    milliseconds: int
    result: AttemptResult
    status: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """How far a replay came in one call."""

    deliveries: int
    """Deliveries that were made again. One that is pending already is not counted."""
    without_event: int
    """Orders that were decided in the range and whose event is not known any more: it was deleted
    from the outbox before the webhook service saw it."""
    more_from: float | None
    """Where to go on with the next call; None if the range is done."""
