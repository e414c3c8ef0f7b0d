"""The benchmark of scale, as far as it needs no load generator: filling a queue and draining it."""

import asyncio

from loadtest.bench.scale.drain import WARM_UP, drain
from loadtest.bench.scale.testbed import open_testbed


def test_a_queue_is_filled_by_all_skus_and_its_drain_is_timed() -> None:
    with open_testbed() as testbed:
        shop = testbed.shop(skus=3)
        asyncio.run(shop.fill(WARM_UP + 1_500))
        assert drain(shop, 1_500) > 100
        shop.empty()
