"""The AsyncAPI 3 document of the events: what services find on the topic exchange, and webhooks."""

from typing import Any, get_args

import msgspec

from flashsale import __version__
from flashsale.broker.asyncapi_webhooks import CHANNEL, OPERATION, webhook_messages
from flashsale.broker.topology import Topology
from flashsale.domain.order_ids import OrderId
from flashsale.messages.events import EventStatus, OrderEvent, event_topic
from flashsale.messages.headers import TRACEPARENT
from flashsale.messages.json_schemas import component_schemas, reference
from flashsale.messages.webhook_schemas import WEBHOOKS

_EVENT = OrderEvent.__name__
_STATUSES = get_args(EventStatus)

_DESCRIPTION = """\
Whatever happens to an order is one event on a topic exchange. A service works from a queue of its
own, which it binds to the routing keys that it wants: `order.confirmed.#`, `order.*.tv-55`. A copy
may come again, always with the same `event_id`, which is the id of the message, too. Webhooks tell
the same to other programs over HTTP."""

_EXAMPLES = (
    OrderEvent(
        event_id="0f8fad5bd9cb469fa16570867728950e",
        status="confirmed",
        reason=None,
        sku="tv-55",
        customer_id="c-123",
        quantity=1,
        accepted_at=1764331200.25,
        decided_at=1764331200.5,
        order_id=OrderId("7c9e6679742540de944be07fc1f90ae7"),
    ),
)


def asyncapi_document(topology: Topology) -> Any:
    """Return the document of the events of this topology."""
    _, schemas = component_schemas([OrderEvent, *WEBHOOKS])
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Flash sale events",
            "version": __version__,
            "description": _DESCRIPTION.replace("\n", " "),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "orderEvents": {
                "address": event_topic("{status}", "{sku}"),
                "description": "The routing keys of the exchange. A sku may contain dots.",
                "parameters": {
                    "status": {"description": "What has happened.", "enum": list(_STATUSES)},
                    "sku": {"description": "The sku of the sale."},
                },
                "messages": {_EVENT: {"$ref": f"#/components/messages/{_EVENT}"}},
                "bindings": {
                    "amqp": {
                        "is": "routingKey",
                        "exchange": {
                            "name": topology.events,
                            "type": "topic",
                            "durable": True,
                            "autoDelete": False,
                        },
                        "bindingVersion": "0.3.0",
                    }
                },
            },
            "webhooks": CHANNEL,
        },
        "operations": {
            "tellDecision": {
                "action": "send",
                "title": "Tell a decision",
                "channel": {"$ref": "#/channels/orderEvents"},
                "messages": [{"$ref": f"#/channels/orderEvents/messages/{_EVENT}"}],
                "bindings": {
                    "amqp": {
                        "deliveryMode": 2,
                        "mandatory": False,
                        "ack": True,
                        "bindingVersion": "0.3.0",
                    }
                },
            },
            "tellEndpoint": OPERATION,
        },
        "components": {
            "messages": {
                _EVENT: {
                    "name": _EVENT,
                    "title": "A decided order",
                    "contentType": "application/json",
                    "headers": {
                        "type": "object",
                        "properties": {
                            TRACEPARENT: {
                                "type": "string",
                                "description": "The trace of the order, if it is recorded.",
                            }
                        },
                    },
                    "payload": reference(_EVENT),
                    "correlationId": {
                        "description": "The id of the event, the same in every copy.",
                        "location": "$message.payload#/event_id",
                    },
                    "examples": [{"payload": msgspec.to_builtins(event)} for event in _EXAMPLES],
                },
                **webhook_messages(),
            },
            "schemas": schemas,
        },
    }
