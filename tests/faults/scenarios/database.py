"""The database dies, freezes, ends sessions, or makes writers wait."""

import asyncio
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.faults.scenario import scenario
from tests.faults.stand import Stand

_OUR_DRAINS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'flashsale drain'"
)


@scenario("kill -9 of the database", short=True)
async def killed(stand: Stand) -> None:
    await asyncio.to_thread(stand.database.kill)
    await stand.wait(0.0, 1.0)
    await asyncio.to_thread(stand.database.start)


@scenario("database frozen for 5 s")
async def frozen(stand: Stand) -> None:
    stand.database.pause()
    await stand.wait(5.0)
    stand.database.resume()


@scenario("database frozen for 40 s", rate=40.0)
async def frozen_long(stand: Stand) -> None:
    stand.database.pause()
    await stand.wait(40.0)
    stand.database.resume()


@scenario("the drain's session terminated five times a second")
async def terminated(stand: Stand) -> None:
    async with stand.session() as session:
        for _ in range(20):
            await session.execute(text(_OUR_DRAINS))
            await session.commit()
            await stand.wait(0.1, 0.3)


@scenario("the row of a stock locked for 5 s")
async def locked(stand: Stand) -> None:
    async with stand.locked("radio"):
        await stand.wait(5.0)


@scenario("the row of a stock locked for 60 s", rate=30.0)
async def locked_long(stand: Stand) -> None:
    async with stand.locked("radio"):
        await stand.wait(60.0)


@scenario("deadlocks with a writer that locks in the other order")
async def deadlocks(stand: Stand) -> None:
    async with stand.session() as session:
        for _ in range(15):
            with suppress(DBAPIError):  # it is this one that has to give way
                await _lock_in_other_order(stand, session)
            await session.rollback()


async def _lock_in_other_order(stand: Stand, session: AsyncConnection) -> None:
    # The drain locks by sku: radio, tv.
    for sku in ("tv", "radio"):
        await session.execute(text(f"SELECT 1 FROM sales WHERE sku = '{sku}' FOR UPDATE"))
        await stand.wait(0.2, 0.4)
    await session.commit()


@scenario("the link to the database pulled for 15 s, then reset")
async def pulled(stand: Stand) -> None:
    link = stand.link("consumer-1", "database")
    link.silence()
    await stand.wait(15.0)
    link.reset()
    link.heal()


@scenario("the link to the database pulled for 15 s, then plugged in again")
async def plugged(stand: Stand) -> None:
    link = stand.link("consumer-1", "database")
    link.silence()
    await stand.wait(15.0)
    link.heal()


@scenario("gateways cut off from the database")
async def gateways_alone(stand: Stand) -> None:
    link = stand.link("gateway-1", "database")
    link.cut()
    await stand.wait(3.0)
    link.heal()
