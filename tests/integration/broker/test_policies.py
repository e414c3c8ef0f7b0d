"""Policies of RabbitMQ that remove accepted orders are told at the start."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from flashsale.broker import BrokerUnavailable, broker_warnings, open_broker, sale_topology
from flashsale.ledger import open_ledger
from flashsale.observability.broker_metrics import BrokerCollector
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import installed_topology, open_stack, topology_of, warnings_of
from loadtest.servers import RabbitNode, ServerNotFound, free_port, rabbitmq
from loadtest.servers.rabbitmq import MANAGEMENT

TOPOLOGY = sale_topology("a.", 100, "classic")


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    try:
        with rabbitmq(MANAGEMENT) as started:
            yield started
    except ServerNotFound as error:
        pytest.skip(str(error))


async def declared(node: RabbitNode) -> None:
    async with open_broker(node.url, TOPOLOGY, 5):
        pass


async def set_policy(node: RabbitNode, definition: str) -> None:
    await asyncio.to_thread(node.control, "set_policy", "short", r"^a\.sale\.orders", definition)


async def warned(node: RabbitNode, expected: bool = True) -> list[str]:
    """Return the warnings; the management API knows of a policy after a moment."""
    async with asyncio.timeout(60):
        while True:
            found = await broker_warnings(node.management_url, node.url, TOPOLOGY)
            if bool(found) is expected:
                return list(found)
            await asyncio.sleep(0.1)


async def test_a_policy_that_removes_or_refuses_orders_is_told_and_a_wider_one_is_not(
    node: RabbitNode, sqlite_url: str
) -> None:
    await declared(node)
    assert await broker_warnings(node.management_url, node.url, TOPOLOGY) == []
    await set_policy(node, '{"message-ttl":60000,"max-length":50,"expires":900000}')
    found = await warned(node)
    of_orders = [line for line in found if "on queue a.sale.orders:" in line]
    assert [line.split(" on ")[0] for line in of_orders] == [
        "'short' sets message-ttl=60000",
        "'short' sets expires=900000",
        "'short' sets max-length=50",
    ]

    settings: dict[str, Any] = {
        "broker_url": node.url,
        "broker_prefix": "a.",
        "queue_max_length": 100,
        "broker_management_url": node.management_url,
        "database_url": sqlite_url,
    }
    async with open_ledger(sqlite_url) as ledger:
        await ledger.migrate()
    with capture_logs() as logs:
        async with open_stack(Settings(**settings)) as stack:
            metrics = {m.name: m.samples[0].value for m in BrokerCollector(stack.broker).collect()}
    told = [entry for entry in logs if "policy of the broker" in entry["event"]]
    assert {entry["reason"] for entry in told} == set(found)
    assert metrics["flashsale_broker_warnings"] == len(found)

    await set_policy(node, '{"max-length":100000}')
    async with asyncio.timeout(60):
        while any("on queue a.sale.orders:" in line for line in await warned(node)):
            await asyncio.sleep(0.1)


async def test_an_api_that_does_not_answer_is_no_reason_not_to_start(
    node: RabbitNode, sqlite_url: str
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnavailable, match=nowhere):
        await broker_warnings(nowhere, node.url, TOPOLOGY)
    wrong = node.url.replace("guest:guest", "guest:wrong")
    with pytest.raises(BrokerUnavailable, match="401") as caught:
        await broker_warnings(node.management_url, wrong, TOPOLOGY)
    assert "wrong" not in str(caught.value)
    monitor = node.management_url.replace("://", "://guest:guest@")
    assert isinstance(await broker_warnings(monitor, wrong, TOPOLOGY), list)
    with pytest.raises(BrokerUnavailable, match="401") as caught:
        await broker_warnings(monitor.replace(":guest@", ":hunter2@"), node.url, TOPOLOGY)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(BrokerUnavailable, match="404"):
        await broker_warnings(node.management_url, f"{node.url}nowhere", TOPOLOGY)
    with pytest.raises(BrokerUnavailable):
        await broker_warnings("http://exa..mple:15672", node.url, TOPOLOGY)


@pytest.mark.parametrize("body", [b"[1]", b"null", b"{nope", b'{"x": "\xff"}'])
async def test_an_answer_that_is_none_of_rabbitmq_is_no_reason_not_to_start(body: bytes) -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    application = web.Application()
    application.router.add_get("/{any:.*}", answer)
    async with TestServer(application) as server:
        url = str(server.make_url(""))
        with pytest.raises(BrokerUnavailable, match=url.rstrip("/")):
            await broker_warnings(url, "amqp://localhost/", TOPOLOGY)


async def test_a_policy_for_a_queue_of_a_service_is_told(node: RabbitNode, sqlite_url: str) -> None:
    settings = Settings(
        broker_url=node.url,
        broker_prefix="b.",
        broker_management_url=node.management_url,
        database_url=sqlite_url,
    )
    async with open_broker(node.url, topology_of(settings) + installed_topology(settings), 5):
        pass
    definition = '{"message-ttl":60000,"max-length":5}'
    await asyncio.to_thread(node.control, "set_policy", "mails", r"^b\..*mail$", definition)
    async with asyncio.timeout(60):
        while not (found := await warnings_of(settings)):
            await asyncio.sleep(0.1)
    assert len(found) == 2
    assert all("mail" in line.partition(" on queue ")[2] for line in found)
    assert found[1].endswith("it removes its oldest messages beyond that")
