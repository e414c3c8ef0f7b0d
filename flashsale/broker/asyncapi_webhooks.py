"""The part of the AsyncAPI document about webhooks: what an endpoint gets over HTTP."""

from typing import Any

from flashsale.messages.json_schemas import reference
from flashsale.messages.standard_webhooks import ID, SIGNATURE, TIMESTAMP
from flashsale.messages.webhook_schemas import WEBHOOKS

_NAMES = [struct.__name__ for struct in WEBHOOKS]

_HEADERS = {
    ID: "The id of the event for this endpoint, the same in every attempt.",
    TIMESTAMP: "When this attempt was sent, in Unix seconds.",
    SIGNATURE: "One or two signatures, with a space between: `v1,` and base64.",
}

CHANNEL = {
    "address": None,
    "description": "The addresses that operators have added. See docs/webhooks.md.",
    "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _NAMES},
}
"""The endpoints."""

OPERATION = {
    "action": "send",
    "title": "Tell an endpoint",
    "description": "A POST that is repeated until the endpoint answers with a 2xx.",
    "channel": {"$ref": "#/channels/webhooks"},
    "messages": [{"$ref": f"#/channels/webhooks/messages/{name}"} for name in _NAMES],
    "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
}
"""Sending to them."""


def webhook_messages() -> dict[str, Any]:
    """Return the messages that an endpoint may get, by name."""
    return {struct.__name__: _message(struct) for struct in WEBHOOKS}


def _message(struct: type) -> dict[str, Any]:
    headers = {
        name: {"type": "string", "description": description}
        for name, description in _HEADERS.items()
    }
    return {
        "name": struct.__name__,
        "title": (struct.__doc__ or "").partition(".")[0],
        "contentType": "application/json",
        "headers": {"type": "object", "properties": headers, "required": list(headers)},
        "payload": reference(struct.__name__),
        "correlationId": {
            "description": "The id of the event for this endpoint.",
            "location": f"$message.header#/{ID}",
        },
    }
