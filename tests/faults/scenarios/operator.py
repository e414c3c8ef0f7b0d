"""An operator changes a sale that goes on, while things break."""

import asyncio
import signal
import time
from typing import Any

from sqlalchemy import text

from tests.faults.admin import SETTINGS, ask, audited, change, order, stream, try_change
from tests.faults.scenario import scenario
from tests.faults.stand import Layout, Stand

_OBEYED_SECONDS = 1.0
_FULL = 150
_PAUSED_SECONDS = 30.0


@scenario(
    "ten changes of the rate, and the drain killed after each",
    layout=Layout(settings=SETTINGS),
)
async def rates(stand: Stand) -> None:
    for _ in range(10):
        await change(stand, "drain", rate=stand.dice.randint(50, 400))
        await stand.wait(0.0, 0.3)
        stand.signal("consumer-1", signal.SIGKILL)
        await stand.died("consumer-1")
        await stand.again("consumer-1")
        await stand.wait(0.0, 1.0)
    await change(stand, "drain", rate=None)
    assert await audited(stand, "drain.change") == 11


@scenario(
    "a pause of 30 s with a full queue",
    layout=Layout(settings=SETTINGS | {"queue_max_length": str(_FULL)}),
)
async def paused(stand: Stand) -> None:
    async with stream(stand, "/sales/radio/events") as sale:
        began = time.monotonic()
        await change(stand, "drain", paused=True, reason="a slow disk")
        await stand.until(lambda: sale.since(began, _paused) is not None, "the pause to be told")
        assert (sale.since(began, _paused) or 0.0) - began < _OBEYED_SECONDS
        # The queue is not full yet.
        taken = await order(stand, "in-the-pause")
        assert (taken.status, taken.body["eta_seconds"], taken.body["paused"]) == (202, None, True)
        path = f"/orders/{taken.body['order_id']}"
        async with stream(stand, f"{path}/events") as mine:
            before = await stand.decided()
            await _stand_full(stand, path, began + _PAUSED_SECONDS)
            assert await stand.decided() == before, "a paused drain decided orders"
            assert all(_stands(data) for _, _, data in mine.events), mine.events
            assert "queued" in {kind for _, kind, _ in mine.events}
            resumed = time.monotonic()
            await change(stand, "drain", paused=False)
            await stand.until(lambda: mine.since(resumed, _confirmed) is not None, "its decision")
        await stand.until(lambda: sale.since(resumed, _runs) is not None, "the end to be told")
        assert (sale.since(resumed, _runs) or 0.0) - resumed < _OBEYED_SECONDS
    assert await audited(stand, "drain.change") == 2


async def _stand_full(stand: Stand, path: str, until: float) -> None:
    """Wait until then. From when the queue is full, each order is refused, and none moves."""

    async def full() -> bool:
        return await stand.waiting() >= _FULL

    await stand.until(full, "a full queue", 20.0)
    number = 0
    while time.monotonic() < until:
        number += 1
        refused = await order(stand, f"refused-{number}")
        assert (refused.status, refused.problem) == (503, "queue-full"), refused
        assert refused.retry_after is not None
        assert refused.retry_after >= 1
        waiting = (await ask(stand, "GET", path)).body
        assert (waiting["status"], waiting["eta_seconds"]) == ("queued", None), waiting
        assert waiting["paused"] is True, waiting
        await stand.wait(1.0)


def _paused(sale: Any) -> bool:
    return sale["paused"] is True and sale["drained_per_second"] is None


def _runs(sale: Any) -> bool:
    return sale["paused"] is False


def _stands(told: Any) -> bool:
    """Whether a stream of an order says that it is paused, and no time or speed."""
    return (
        told.get("paused") is True
        and told.get("eta_seconds") is None
        and told.get("drained_per_second") is None
    )


def _confirmed(told: Any) -> bool:
    return bool(told.get("status") == "confirmed")


@scenario("a pause ends while no drain is there", layout=Layout(settings=SETTINGS))
async def ends_alone(stand: Stand) -> None:
    await change(stand, "drain", paused=True, for_seconds=2)
    stand.signal("consumer-1", signal.SIGKILL)
    await stand.died("consumer-1")
    await stand.wait(2.0)
    await stand.again("consumer-1")
    ended = "count(*) FROM audit_log WHERE who = 'automatic'"

    async def audited() -> bool:
        return await stand.count(ended) == 1

    await stand.until(audited, "the end of the pause in the audit")


@scenario("the row of the controls locked for 5 s", layout=Layout(settings=SETTINGS))
async def locked(stand: Stand) -> None:
    await change(stand, "drain", rate=300, for_seconds=1)
    async with stand.session() as session:
        await session.execute(text("SELECT 1 FROM drain_controls FOR UPDATE"))
        before = await stand.decided()
        changing = asyncio.create_task(change(stand, "drain", rate=200))
        await stand.wait(5.0)
        assert not changing.done()
        assert await stand.decided() > before, "the drain waited for the lock"
        await session.rollback()
    assert (await changing)["rate"] == 200


@scenario("the database is away while a change is sent", layout=Layout(settings=SETTINGS))
async def away(stand: Stand) -> None:
    await asyncio.to_thread(stand.database.kill)
    refused = await try_change(stand, "drain", rate=200)
    assert (refused.status, refused.problem) == (503, "ledger-unavailable")
    await asyncio.to_thread(stand.database.start)

    async def changed() -> bool:
        answer = await try_change(stand, "drain", rate=200)
        assert answer.status in (200, 503), answer
        return answer.status == 200

    await stand.until(changed, "the change")
    assert await audited(stand, "drain.change") == 1


@scenario(
    "a gateway does not hear of the pause of the intake",
    layout=Layout(gateways=2, settings=SETTINGS),
)
async def unheard(stand: Stand) -> None:
    stand.link("gateway-2", "broker").back.silent = True
    await change(stand, "intake", paused=True, notice="A moment.")
    sent = time.monotonic()

    async def told() -> bool:
        return bool((await ask(stand, "GET", "/sales/radio", "gateway-2")).body["intake_paused"])

    await stand.until(told, "the pause at the other gateway", 5.0)
    assert time.monotonic() - sent < 2 * _OBEYED_SECONDS
    await change(stand, "intake", paused=False)
    stand.link("gateway-2", "broker").heal()
