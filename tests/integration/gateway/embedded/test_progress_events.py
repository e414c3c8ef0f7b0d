"""`progress` events of `GET /orders/{id}/events`: how the queue moves, and how fast."""

import asyncio
import json
from typing import Any

from tests.integration.gateway.embedded_gateway import open_gateway


async def test_an_order_stream_tells_the_progress_and_the_measured_speed(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, drain_rate=4, drain_batch=1) as gateway:
        orders = [await gateway.order(customer_id=f"c-{number}") for number in range(12)]
        path = orders[-1].headers["Location"]
        told: list[tuple[str, Any]] = []
        async with (
            asyncio.timeout(60),
            gateway.client.get(f"{gateway.url}{path}/events") as answer,
        ):
            gateway.drain()
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    event = value
                elif name == "data":
                    told.append((event, json.loads(value)))
        progress = [data for name, data in told if name == "progress"]
        assert all(set(data) == {"served", "drained_per_second"} for data in progress)
        served = [data["served"] for data in progress]
        assert served == sorted(served)
        assert any(data["drained_per_second"] for data in progress)
        # At 4 orders a second there are fewer events than orders: at most about one a second.
        assert 1 <= len(progress) <= 6
        assert told[-1][0] == "rejected"
