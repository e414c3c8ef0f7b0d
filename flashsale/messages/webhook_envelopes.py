"""The envelope of what is sent over HTTP: the body by Standard Webhooks, and CloudEvents headers.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#payload-structure
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

from typing import Any

import msgspec

from flashsale.domain.moments import moment_at, write_moment

_OF_ORDERS = "order."


class Envelope(msgspec.Struct, frozen=True):
    """The JSON body. `timestamp` is when the event happened, in RFC 3339."""

    type: str
    timestamp: str
    data: Any


_encode = msgspec.json.Encoder().encode


def encode_envelope(event_type: str, occurred_at: float, data: object) -> bytes:
    """Return the body of an event that happened at a Unix time."""
    return _encode(Envelope(event_type, write_moment(moment_at(occurred_at)), data))


def cloud_event_headers(
    event_id: str, event_type: str, occurred_at: float, subject: str | None = None
) -> dict[str, str]:
    """Return the headers of CloudEvents. The subject is the id of the order, if there is one."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": "/sales" if event_type.startswith(_OF_ORDERS) else "/webhooks",
        "ce-type": event_type,
        "ce-time": write_moment(moment_at(occurred_at)),
    }
    return headers if subject is None else headers | {"ce-subject": subject}
