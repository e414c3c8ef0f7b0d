"""An operator changes a sale that goes on, while things break."""

import asyncio
import json
import signal
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from sqlalchemy import text

from tests.faults.scenario import scenario
from tests.faults.stand import Layout, Stand

_TOKEN = "an operator"
_SETTINGS = {"admin_token": _TOKEN}
_OBEYED_SECONDS = 1.0


async def _change(stand: Stand, gateway: str = "gateway-1", **changes: object) -> dict[str, Any]:
    """Change the controls of the drain by a gateway, whatever they are."""
    return await _admin(stand, "drain", gateway, **changes)


async def _admin(stand: Stand, what: str, gateway: str, **changes: object) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{stand.url(gateway)}/admin/{what}",
        json.dumps(changes).encode(),
        {
            "Authorization": f"Bearer {_TOKEN}",
            "Content-Type": "application/json",
            "If-Match": "*",
        },
        method="PATCH",
    )

    def send() -> dict[str, Any]:
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    return await asyncio.to_thread(send)


async def _audited(stand: Stand) -> int:
    return await stand.count("count(*) FROM audit_log WHERE who = 'operator'")


@scenario(
    "ten changes of the rate, and the drain killed after each",
    layout=Layout(settings=_SETTINGS),
)
async def rates(stand: Stand) -> None:
    for _ in range(10):
        await _change(stand, rate=stand.dice.randint(50, 400))
        await stand.wait(0.0, 0.3)
        stand.signal("consumer-1", signal.SIGKILL)
        await stand.died("consumer-1")
        await stand.again("consumer-1")
        await stand.wait(0.0, 1.0)
    await _change(stand, rate=None)
    assert await _audited(stand) == 11


@scenario(
    "the drain is paused until the queue is full",
    layout=Layout(settings=_SETTINGS | {"queue_max_length": "150"}),
)
async def paused(stand: Stand) -> None:
    await _change(stand, paused=True)
    await asyncio.sleep(_OBEYED_SECONDS)
    before = await stand.decided()

    async def full() -> bool:
        return await stand.waiting() >= 150

    await stand.until(full, "a full queue")
    await stand.wait(3.0)
    assert await stand.decided() == before, "a paused drain decided orders"
    await _change(stand, paused=False)


@scenario("a pause ends while no drain is there", layout=Layout(settings=_SETTINGS))
async def ends_alone(stand: Stand) -> None:
    await _change(stand, paused=True, for_seconds=2)
    stand.signal("consumer-1", signal.SIGKILL)
    await stand.died("consumer-1")
    await stand.wait(2.0)
    await stand.again("consumer-1")
    ended = "count(*) FROM audit_log WHERE who = 'automatic'"

    async def audited() -> bool:
        return await stand.count(ended) == 1

    await stand.until(audited, "the end of the pause in the audit")


@scenario("the row of the controls locked for 5 s", layout=Layout(settings=_SETTINGS))
async def locked(stand: Stand) -> None:
    await _change(stand, rate=300, for_seconds=1)
    async with stand.session() as session:
        await session.execute(text("SELECT 1 FROM drain_controls FOR UPDATE"))
        before = await stand.decided()
        changing = asyncio.create_task(_change(stand, rate=200))
        await stand.wait(5.0)
        assert not changing.done()
        assert await stand.decided() > before, "the drain waited for the lock"
        await session.rollback()
    assert (await changing)["rate"] == 200


@scenario("the database is away while a change is sent", layout=Layout(settings=_SETTINGS))
async def away(stand: Stand) -> None:
    await asyncio.to_thread(stand.database.kill)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        await _change(stand, rate=200)
    await asyncio.to_thread(stand.database.start)

    async def changed() -> bool:
        try:
            return bool((await _change(stand, rate=200))["rate"] == 200)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            return False

    await stand.until(changed, "the change")
    assert await _audited(stand) == 1


@scenario(
    "a gateway does not hear of the pause of the intake",
    layout=Layout(gateways=2, settings=_SETTINGS),
)
async def unheard(stand: Stand) -> None:
    stand.link("gateway-2", "broker").back.silent = True
    await _admin(stand, "intake", "gateway-1", paused=True, notice="A moment.")
    sent = time.monotonic()

    def told() -> bool:
        with urllib.request.urlopen(f"{stand.url('gateway-2')}/sales/radio") as answer:
            return bool(json.load(answer)["intake_paused"])

    await stand.until(lambda: asyncio.to_thread(told), "the pause at the other gateway", 5.0)
    assert time.monotonic() - sent < 2 * _OBEYED_SECONDS
    await _admin(stand, "intake", "gateway-1", paused=False)
    stand.link("gateway-2", "broker").heal()
