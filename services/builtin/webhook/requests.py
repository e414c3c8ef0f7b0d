"""The request of a delivery: its body, and the headers by which the receiver can trust it."""

from flashsale import __version__
from flashsale.domain.webhooks.deliveries import Claimed
from flashsale.messages.headers import TRACEPARENT
from flashsale.messages.standard_webhooks import parse_secret, signed_headers
from flashsale.messages.webhook_envelopes import cloud_event_headers

CONSTANT_HEADERS = {
    "Content-Type": "application/json",
    # A compressed answer is not read, so none is asked for.
    "Accept-Encoding": "identity",
    "User-Agent": f"flashsale-gateway/{__version__}",
}
"""The headers that each request has."""


def signed_request(delivery: Claimed, now: float) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a delivery that is sent at Unix time `now`.

    The body and the id are the same in each attempt. While a secret is rotated, both sign.
    """
    body = delivery.body.encode()
    keys = [parse_secret(secret) for secret in delivery.secrets]
    headers = signed_headers(keys, delivery.webhook_id, int(now), body)
    headers |= cloud_event_headers(
        delivery.event_id, delivery.type, delivery.occurred_at, delivery.order_id
    )
    if delivery.traceparent is not None:
        headers[TRACEPARENT] = delivery.traceparent
    return body, headers
