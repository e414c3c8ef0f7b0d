"""The peers of the benchmark do what they are measured at."""

import asyncio

import aiohttp
import asyncpg
import pytest

from loadtest.bench.peers.contestants import PEERS, Contestant
from loadtest.bench.peers.testbed import SKU, BenchTestbed
from loadtest.servers import PostgresServer, RabbitNode


@pytest.fixture(scope="module")
def testbed(
    rabbit_node: RabbitNode,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
) -> BenchTestbed:
    found = BenchTestbed(rabbit_node, postgres_server, tmp_path_factory.mktemp("testbed"))
    asyncio.run(found.prepare())
    return found


async def until_acknowledged(node: RabbitNode, queue: str) -> None:
    """Wait until nothing is in the queue, or in the hands of who consumes it."""
    listing = "list_queues", "--quiet", "--no-table-headers", "name", "messages"
    async with asyncio.timeout(60):
        while f"{queue}\t0" not in (await asyncio.to_thread(node.control, *listing)).splitlines():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
async def test_a_peer_answers_once_its_order_is_in_the_queue_and_sells_it_once(
    rabbit_node: RabbitNode, testbed: BenchTestbed, peer: Contestant
) -> None:
    body = {"sku": SKU, "customer_id": "c-1", "quantity": 2}
    async with aiohttp.ClientSession() as client:
        with testbed.gateway(peer) as (_, port):
            url = f"http://127.0.0.1:{port}/orders"
            async with client.post(url, json=body) as answer:
                assert answer.status == 202
                receipt = await answer.json()
                assert answer.headers["Location"] == f"/orders/{receipt['order_id']}"
            assert testbed.ready(peer.queue) == 1
            async with client.post(url, json=body | {"quantity": 0}) as answer:
                assert answer.status == 422
    assert set(receipt) == {"order_id", "status", "position", "eta_seconds"}

    database = await asyncpg.connect(testbed.dsn(peer))
    try:
        with testbed.consumer(peer, peer.paced, rate=2000):
            async with asyncio.timeout(60):
                while not (rows := await database.fetch("SELECT id, status FROM orders")):
                    await asyncio.sleep(0.05)
            # Who is stopped between its commit and its acknowledgement leaves the order there.
            await until_acknowledged(rabbit_node, peer.queue)
        assert [tuple(row) for row in rows] == [(receipt["order_id"], "confirmed")]
        assert await database.fetchval("SELECT sold FROM sales") == 2
    finally:
        await database.close()
    assert testbed.ready(peer.queue) == 0
