"""The power of a machine is cut: what was not synced is gone."""

import asyncio
import signal
import time

from tests.faults.image_disk import ImageDisk, cut_power
from tests.faults.scenario import scenario
from tests.faults.stand import Layout, Stand

_ENOUGH_WAITING = 60


@scenario("power cut of the broker", image_disks=True)
async def broker(stand: Stand) -> None:
    await asyncio.to_thread(cut_power, stand.node)


@scenario("power cut of the database", image_disks=True)
async def database(stand: Stand) -> None:
    await asyncio.to_thread(cut_power, stand.database)


@scenario("power cut of all machines", image_disks=True, layout=Layout(services=1))
async def everything(stand: Stand) -> None:
    names = stand.layout.names()
    for name in names:
        stand.signal(name, signal.SIGSTOP)
    await asyncio.to_thread(cut_power, stand.node, stand.database)
    for name in names:
        stand.signal(name, signal.SIGKILL)
    async with asyncio.TaskGroup() as starting:
        for name in names:
            starting.create_task(stand.again(name))


@scenario(
    "power cut of the broker with a classic queue, which loses orders",
    image_disks=True,
    layout=Layout(settings={"queue_type": "classic"}),
    loses=True,
)
async def classic(stand: Stand) -> None:
    await stand.stop("consumer-1")
    # Queues that were declared seconds ago would be gone as well.
    await asyncio.to_thread(ImageDisk.under(stand.node.folder).sync)
    before = await stand.waiting()

    async def enough() -> bool:
        return await stand.waiting() >= before + _ENOUGH_WAITING

    await stand.until(enough, "orders in the queue")
    await stand.wait(0.0, 1.0)
    await asyncio.to_thread(cut_power, stand.node)
    stand.gone_until = time.monotonic()
    await stand.start("consumer-1")
