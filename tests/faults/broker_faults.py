"""The broker dies, freezes, forgets, or is short of something."""

import asyncio

from tests.faults.scenario import scenario
from tests.faults.stand import Stand


@scenario("kill -9 of the broker, with publishes unconfirmed", short=True)
async def killed(stand: Stand) -> None:
    await asyncio.to_thread(stand.node.kill)
    await asyncio.to_thread(stand.node.start)
