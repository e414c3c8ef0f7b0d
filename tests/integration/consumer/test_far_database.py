"""A drain whose database is far away: a statement takes longer than the time between two looks."""

import time

from flashsale.broker import open_broker, sale_topology
from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from tests.conftest import an_order
from tests.faults.proxy import proxy
from tests.integration.consumer.one_drain import draining

TOPOLOGY = sale_topology("", max_length=1000, queue_type="classic")
DELAY_SECONDS = 0.12  # a look takes three round trips


async def test_a_drain_far_from_its_database_drains(postgres_url: str) -> None:
    server, _, name = postgres_url.rpartition("/")
    port = int(server.rpartition(":")[2])
    async with (
        proxy(lambda: port) as link,
        open_ledger(f"{server.rpartition(':')[0]}:{link.port}/{name}") as ledger,
    ):
        await ledger.migrate()
        await ledger.create_sale(Sale("plain", 1000))
        await ledger.create_sale(Sale("held", 1000, hold_seconds=600))
        orders = [
            an_order(sku=sku, accepted_at=time.time())
            for sku in ("plain", "held")
            for _ in range(6)
        ]
        async with open_broker("memory://", TOPOLOGY, 5) as broker:
            link.there.delay = DELAY_SECONDS
            # A batch of each order, as the rate is that low.
            async with draining(broker, TOPOLOGY, ledger, 5, orders) as drain:
                await drain.released(8)
                link.heal()
                await drain.released(12)
