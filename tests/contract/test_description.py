"""The description has every address and every problem of the gateway, and nothing else."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openapi_spec_validator
import pytest
from openapi_schema_validator import OAS31Validator

from gateway.http.problem_kinds import KINDS as ALL_KINDS
from gateway.openapi.access import is_shown
from gateway.openapi.problem_responses import OF_NO_OPERATION
from gateway.routes import OPERATIONS
from tests.contract.valid_requests import PAYMENT_SECRET
from tests.integration.gateway.admin.operators import TOKENS
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway, raw

KINDS = set(ALL_KINDS)


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    """A gateway that has operators, and takes payments."""
    async with open_gateway(sqlite_url, payment_secret=PAYMENT_SECRET, **TOKENS) as opened:
        yield opened


async def description(gateway: EmbeddedGateway, **headers: str) -> Any:
    answer = await gateway.call("GET", "/openapi.json", headers=headers)
    assert answer.status == 200
    return answer.body


def described(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method.upper(), path, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def kinds_of(document: Any, operation: Any) -> set[str]:
    """The kinds of problems that an operation may have."""
    found = set()
    for response in operation["responses"].values():
        if "$ref" in response:
            response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        problem = response.get("content", {}).get("application/problem+json", {})
        found |= {reference.rpartition("/")[2] for reference in references(problem)}
    return found


async def test_the_description_has_every_route_and_no_other(gateway: EmbeddedGateway) -> None:
    document = await description(gateway)
    routes = {
        (route.method, route.resource.canonical)
        for route in gateway.app.router.routes()
        if route.resource is not None
    }
    # Each GET has its HEAD; OPTIONS is answered everywhere.
    assert {path for method, path in routes if method == "HEAD"} == {
        path for method, path in routes if method == "GET"
    }
    assert {(method, path) for method, path, _ in described(document)} == {
        (method, path) for method, path in routes if method != "HEAD"
    }


async def test_the_description_has_every_problem_and_no_other(gateway: EmbeddedGateway) -> None:
    document = await description(gateway)
    schemas = document["components"]["schemas"]
    told = {
        schema["properties"]["type"]["const"]: name
        for name, schema in schemas.items()
        if "allOf" in schema
    }
    assert told == {f"/problems/{kind}": kind for kind in KINDS}
    assert set(document["components"]["responses"]) == KINDS
    possible = {
        kind for _, _, operation in described(document) for kind in kinds_of(document, operation)
    }
    assert possible == KINDS - set(OF_NO_OPERATION)


async def test_the_description_is_valid_openapi_without_leftovers(
    gateway: EmbeddedGateway,
) -> None:
    document = await description(gateway)
    assert document["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(document)
    ids = [operation["operationId"] for _, _, operation in described(document)]
    shown = [each for each in OPERATIONS.values() if is_shown(each.access, gateway.settings)]
    assert len(ids) == len(set(ids)) == len(shown)
    used = {r.rpartition("/")[2] for r in references(document) if "/schemas/" in r}
    assert set(document["components"]["schemas"]) == used


async def test_payments_are_described_where_they_are_demonstrated(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url) as gateway:
        document = await description(gateway)
    openapi_spec_validator.validate(document)
    of_demo = {(method, path) for method, path, _ in described(document) if "/demo" in path}
    assert of_demo == {
        ("GET", "/demo/pay.js"),
        ("GET", "/demo/pay/{order_id}"),
        ("POST", "/demo/pay/{order_id}"),
    }
    assert "/payments" not in document["paths"]


async def test_without_a_token_nothing_is_told_of_operators(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url) as gateway:
        document = await description(gateway)
    assert not [path for path in document["paths"] if path.startswith(("/admin", "/ops"))]
    assert {"unauthorized", "cross-site", "DrainView"}.isdisjoint(document["components"]["schemas"])
    assert "securitySchemes" not in document["components"]
    assert "/orders" in document["paths"]
    openapi_spec_validator.validate(document)


async def test_exactly_the_guarded_operations_refuse_a_stranger(gateway: EmbeddedGateway) -> None:
    for method, path, operation in described(await description(gateway)):
        at = path.format(sku="tv", order_id="none", endpoint_id="none")
        body: dict[str, str] | None = {} if method == "POST" else None
        async with gateway.client.request(method, gateway.url + at, json=body) as answer:
            assert (answer.status == 401) == ("security" in operation), (method, path)


async def test_a_browser_that_has_the_description_gets_no_second_one(
    gateway: EmbeddedGateway,
) -> None:
    first = await gateway.call("GET", "/openapi.json")
    assert first.headers["Content-Type"] == "application/json"
    again = await gateway.call(
        "GET", "/openapi.json", headers={"If-None-Match": first.headers["ETag"]}
    )
    assert (again.status, again.body) == (304, None)


async def test_the_addresses_are_those_that_a_client_behind_a_proxy_has(sqlite_url: str) -> None:
    async with open_gateway(
        sqlite_url, public_path="/flash", trusted_proxies="127.0.0.0/8"
    ) as gateway:
        assert (await description(gateway))["servers"] == [{"url": "/flash"}]
        behind = await description(gateway, **{"X-Forwarded-Prefix": "/other"})
        assert behind["servers"] == [{"url": "/other"}]


@pytest.mark.parametrize("path", ["/sales/{sku}/events", "/orders/{order_id}/events"])
async def test_the_events_of_a_stream_have_the_schemas_that_are_told(
    gateway: EmbeddedGateway, path: str
) -> None:
    document = await description(gateway)
    content = document["paths"][path]["get"]["responses"]["200"]["content"]
    schema = content["text/event-stream"]["schema"]
    told = {
        event["properties"]["event"]["const"]: event["properties"]["data"]["contentSchema"]
        for event in schema.get("oneOf", [schema])
    }
    order_id = (await gateway.order()).body["order_id"]
    at = path.format(sku="tv", order_id=order_id)
    seen = set()
    async with gateway.client.get(gateway.url + at) as stream:
        gateway.drain()
        name = ""
        async for line in stream.content:
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                told_schema = told[name] | {"components": document["components"]}
                OAS31Validator(told_schema).validate(json.loads(value))
                seen.add(name)
                if name == "sale":
                    break
    assert seen >= ({"sale"} if "sales" in path else {"queued", "confirmed"})


@pytest.mark.parametrize("path", ["/sales/tv/events", "/orders/{order_id}/events"])
async def test_a_head_of_a_stream_has_its_headers_and_ends(
    gateway: EmbeddedGateway, path: str
) -> None:
    order_id = (await gateway.order()).body["order_id"]
    head = f"HEAD {path.format(order_id=order_id)} HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await raw(gateway, head.encode())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Type: text/event-stream\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")
    unknown = await raw(gateway, b"HEAD /sales/nothing/events HTTP/1.1\r\nHost: x\r\n\r\n")
    assert unknown.startswith(b"HTTP/1.1 404 ")
    assert gateway.context.metrics.streams._value.get() == 0
