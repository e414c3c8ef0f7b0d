"""The disk of the broker or of the database is full."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from loadtest.servers import Server
from tests.faults.scenario import scenario
from tests.faults.stand import Stand

_PIECE = 1 << 20
_DYING_SECONDS = 5.0


@asynccontextmanager
async def full_disk(folder: Path) -> AsyncIterator[None]:
    """Leave no byte free where that folder is, for as long as this lasts."""
    filler = folder / "filler"
    await asyncio.to_thread(_fill, filler)
    try:
        yield
    finally:
        filler.unlink()


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        for size in (_PIECE, 1):
            try:
                while shutil.disk_usage(filler.parent).free:
                    file.write(b"\0" * size)
            except OSError:
                continue
        os.fsync(file.fileno())


async def _supervised(stand: Stand, server: Server) -> None:
    """Start it again if it ends of what it could not write, as its supervisor would."""
    await stand.wait(_DYING_SECONDS)
    if not await asyncio.to_thread(lambda: server.serves):
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)


@scenario("the disk of the broker is full for 6 s", small_disk=True)
async def broker_disk(stand: Stand) -> None:
    async with full_disk(stand.node.folder):
        await stand.wait(6.0)
    await _supervised(stand, stand.node)


@scenario("the disk of the database is full for 6 s", small_disk=True)
async def database_disk(stand: Stand) -> None:
    async with full_disk(stand.database.folder):
        await stand.wait(6.0)
    await _supervised(stand, stand.database)
