"""The benchmark of scale, as far as it needs no load generator: filling a queue and draining it."""

import asyncio
from pathlib import Path

from loadtest.bench.scale.drain import WARM_UP, drain
from loadtest.bench.scale.testbed import BenchTestbed
from loadtest.servers import PostgresServer, RabbitNode


def test_a_queue_is_filled_by_all_skus_and_its_drain_is_timed(
    rabbit_node: RabbitNode, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    shop = BenchTestbed(rabbit_node, postgres_server, tmp_path).shop(skus=3)
    asyncio.run(shop.fill(WARM_UP + 10_000))
    assert drain(shop, 10_000) > 100
    shop.empty()
