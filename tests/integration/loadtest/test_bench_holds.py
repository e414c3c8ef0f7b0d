"""The benchmark of holds, as far as it needs no load generator."""

import asyncio
from pathlib import Path

from loadtest.bench.holds.expiry import measure_expiry
from loadtest.bench.scale.drain import WARM_UP, drain_cost
from loadtest.bench.scale.testbed import BenchTestbed
from loadtest.servers import PostgresServer, RabbitNode


def test_a_sale_with_holds_is_drained_and_its_cost_is_measured(
    rabbit_node: RabbitNode, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    shop = BenchTestbed(rabbit_node, postgres_server, tmp_path).shop(hold_seconds=600)
    for _ in range(2):  # other customers each time, or the first holds would be given back
        asyncio.run(shop.fill(WARM_UP + 12_000))
        drained = drain_cost(shop, 12_000, postgres_server.processes)
        assert drained.per_second > 100
        assert drained.cpu_us > 0
    shop.empty()


def test_holds_that_have_ended_are_found_by_index_and_ended_in_batches(
    postgres_server: PostgresServer,
) -> None:
    figures = measure_expiry(postgres_server, holds=2_000, batches=10, most=50)
    assert figures["expiry_table_scans"] == 0
    assert 0 < figures["expiry_query_ms"] <= figures["expiry_batch_ms"]
    assert figures["due_look_ms"] <= figures["due_look_ms_p99"]
