"""Requests that are no orders: each is a problem of its own kind, and none reaches the queue."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from gateway.http import json_body
from tests.integration.gateway.embedded_gateway import (
    EmbeddedGateway,
    raw,
)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"sku": "tv", "customer_id": "c"',
        b'{"sku": "tv", "customer_id": "c", "quantity": NaN}',
        b'{"sku": "tv", "customer_id": "c", "sku": "tv"}',
        b'{"sku": "tv", "customer_id": "\\udfff"}',
        b'{"sku": "tv", "customer_id": "\xc3"}',
    ],
)
async def test_a_body_that_is_not_json_is_400(gateway: EmbeddedGateway, body: bytes) -> None:
    answer = await gateway.post(body)
    assert (answer.status, answer.problem) == (400, "bad-json")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"[]", [""]),
        (b'{"sku": "tv", "customer_id": "c", "extra": 1}', ["extra"]),
        (b'{"sku": "tv", "customer_id": "  \\u2003"}', ["customer_id"]),
        (b'{"sku": "tv", "customer_id": "c", "quantity": 0}', ["quantity"]),
        (b'{"sku": "tv", "customer_id": "c", "quantity": -1}', ["quantity"]),
        (b'{"sku": "tv", "customer_id": "c", "quantity": 1.5}', ["quantity"]),
        (b'{"sku": "tv", "customer_id": "c", "quantity": "1"}', ["quantity"]),
        (b'{"sku": "tv", "customer_id": "c", "quantity": true}', ["quantity"]),
        (b'{"sku": "tv", "customer_id": "c", "quantity": 1000000000}', ["quantity"]),
        (b'{"sku": "tv", "customer_id": "c\\u0000"}', ["customer_id"]),
        (b'{"sku": "<b>", "customer_id": "c"}', ["sku"]),
        (
            b"{" + b",".join(b'"f%d": 1' % number for number in range(1000)) + b"}",
            ["sku", "customer_id", *(f"f{number}" for number in range(10))],
        ),
        (b'{"sku": "' + b"s" * 10_000 + b'"}', ["sku", "customer_id"]),
    ],
)
async def test_a_body_of_the_wrong_shape_is_422_field_by_field(
    gateway: EmbeddedGateway, body: bytes, fields: list[str]
) -> None:
    answer = await gateway.post(body)
    assert (answer.status, answer.problem) == (422, "invalid-order")
    assert [error["field"] for error in answer.body["errors"]] == fields
    assert "regex" not in str(answer.body)
    assert await gateway.backlog() == 0


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "application/json; charset=utf-16"]
)
async def test_another_media_type_is_415(gateway: EmbeddedGateway, kind: str) -> None:
    answer = await gateway.post(b'{"sku": "tv", "customer_id": "c"}', Content_Type=kind)
    assert (answer.status, answer.problem) == (415, "unsupported-media-type")


async def test_a_missing_media_type_is_415(gateway: EmbeddedGateway) -> None:
    answer = await raw(gateway, b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    assert answer.startswith(b"HTTP/1.1 415")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity"])
async def test_a_content_encoding_is_415(gateway: EmbeddedGateway, encoding: str) -> None:
    answer = await raw(
        gateway,
        b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Encoding: " + encoding.encode() + b"\r\nContent-Length: 2\r\n\r\n{}",
    )
    assert answer.startswith(b"HTTP/1.1 415")


async def test_the_charset_utf_8_is_accepted(gateway: EmbeddedGateway) -> None:
    body = b'{"sku": "tv", "customer_id": "c"}'
    answer = await gateway.post(body, Content_Type="application/json; charset=UTF-8")
    assert answer.status == 202


async def test_a_body_of_17_kib_is_413_with_content_length_and_chunked(
    gateway: EmbeddedGateway,
) -> None:
    body = b'{"sku": "tv", "customer_id": "' + b"c" * 17 * 1024 + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    for data in (body, chunks()):
        answer = await gateway.call(
            "POST", "/orders", data=data, headers={"Content-Type": "application/json"}
        )
        assert (answer.status, answer.problem) == (413, "body-too-large")
    assert (await gateway.order()).status == 202


async def test_a_body_that_does_not_come_is_408(
    gateway: EmbeddedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_body, "BODY_SECONDS", 0.1)
    answer = await raw(
        gateway,
        b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b'Content-Length: 40\r\n\r\n{"sku"',
    )
    assert answer.startswith(b"HTTP/1.1 408")
    assert await gateway.backlog() == 0


async def test_a_broken_body_is_400_and_later_orders_are_taken(gateway: EmbeddedGateway) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b'Content-Length: 40\r\n\r\n{"sku"'
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    broken_chunk = (
        b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nnot a size\r\n"
    )
    assert (await raw(gateway, broken_chunk)).split()[1] == b"400"
    assert await gateway.backlog() == 0
    assert (await gateway.order()).status == 202


async def test_wrong_addresses_and_methods_are_problems(gateway: EmbeddedGateway) -> None:
    missing = await gateway.call("GET", "/nothing")
    assert (missing.status, missing.problem) == (404, "not-found")
    wrong = await gateway.call("DELETE", "/orders")
    assert (wrong.status, wrong.problem) == (405, "method-not-allowed")
    assert wrong.headers["Allow"] == "OPTIONS, POST"


async def test_an_unexpected_error_is_a_500_without_its_text(
    gateway: EmbeddedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(gateway.stack.broker, "publish", fail)
    answer = await gateway.order()
    assert (answer.status, answer.problem) == (500, "internal")
    assert "secret" not in json.dumps(answer.body)
