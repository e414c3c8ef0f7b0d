"""The AsyncAPI document: valid, current, and true of the events that are sent."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from openapi_schema_validator import OAS31Validator

from flashsale.broker import sale_topology
from flashsale.broker.asyncapi import asyncapi_document
from flashsale.domain.order_ids import OrderId
from flashsale.domain.webhooks.event_types import KNOWN, TEST
from flashsale.messages.events import OrderEvent, decode_event, encode_event
from flashsale.messages.webhook_events import new_webhook, order_webhook

PAGE = Path(__file__).parents[3] / "docs" / "asyncapi.json"


@pytest.fixture
def document() -> Any:
    return asyncapi_document(sale_topology("", 2_000, "quorum"))


def payload_schema(document: Any) -> Any:
    return schema_of(document, "OrderEvent")


def schema_of(document: Any, message: str) -> Any:
    payload = document["components"]["messages"][message]["payload"]
    return payload | {"components": document["components"]}


def test_the_page_in_docs_is_current(document: Any) -> None:
    assert json.loads(PAGE.read_text()) == document, "run: flashsale asyncapi > docs/asyncapi.json"


def test_the_document_is_asyncapi_3_and_its_references_lead_somewhere(document: Any) -> None:
    ApplicationSchema.model_validate(document)
    text = json.dumps(document)
    for reference in [part.split('"')[0] for part in text.split('"$ref": "#/')[1:]]:
        found = document
        for name in reference.split("/"):
            found = found[name]


def test_the_channel_is_the_exchange_of_events(document: Any) -> None:
    channel = document["channels"]["orderEvents"]
    assert channel["bindings"]["amqp"]["exchange"]["name"] == "sale.events"
    example = decode_event(
        json.dumps(
            document["components"]["messages"]["OrderEvent"]["examples"][0]["payload"]
        ).encode()
    )
    assert channel["address"].format(status=example.status, sku=example.sku) == example.topic


@pytest.mark.parametrize(
    "changes", [{}, {"status": "rejected", "reason": "not_enough_left", "remaining": 1}]
)
def test_an_event_as_it_is_sent_has_the_schema(document: Any, changes: dict[str, Any]) -> None:
    event = OrderEvent("0" * 32, "confirmed", None, "tv", "c-1", 2, 1.5, 2.5, OrderId("1" * 32))
    sent = encode_event(msgspec.structs.replace(event, **changes))
    OAS31Validator(payload_schema(document)).validate(json.loads(sent))


@pytest.mark.parametrize("changes", [{"status": "queued"}, {"sku": "a b"}, {"event_id": "x"}])
def test_what_is_no_event_does_not_have_the_schema(document: Any, changes: dict[str, Any]) -> None:
    event = OrderEvent("0" * 32, "confirmed", None, "tv", "c-1", 2, 1.5, 2.5, OrderId("1" * 32))
    wrong = json.loads(encode_event(event)) | changes
    assert not OAS31Validator(payload_schema(document)).is_valid(wrong)


@pytest.mark.parametrize("status", ["confirmed", "rejected"])
def test_a_webhook_about_an_order_has_the_schema(document: Any, status: Any) -> None:
    event = OrderEvent("0" * 32, status, None, "tv", "c-1", 2, 1.5, 2.5, OrderId("1" * 32))
    body = json.loads(order_webhook(event).body)
    validator = OAS31Validator(schema_of(document, "OrderWebhook"))
    validator.validate(body)
    assert not validator.is_valid(body | {"type": "webhook.test"})
    assert not validator.is_valid(body | {"data": {}})


def test_every_other_webhook_has_its_schema(document: Any) -> None:
    for message, event_type, data in (
        ("DisabledWebhook", "endpoint.disabled", {"endpoint_id": "e", "url": "u", "reason": "r"}),
        ("TestWebhook", "webhook.test", {"endpoint_id": "e"}),
    ):
        body = json.loads(new_webhook(event_type, 1.5, data).body)
        validator = OAS31Validator(schema_of(document, message))
        validator.validate(body)
        assert not validator.is_valid(body | {"data": {}})


def test_every_type_of_webhook_is_described(document: Any) -> None:
    schemas = document["components"]["schemas"]
    told = set()
    for name in document["channels"]["webhooks"]["messages"]:
        kind = schemas[name]["properties"]["type"]
        told |= set(kind.get("enum", [kind.get("const")]))
    assert told == {*KNOWN, TEST}
