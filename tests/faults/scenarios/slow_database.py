"""The database is slow for a while, and the rate of the drain is adaptive."""

import asyncio
import json
import signal
import urllib.request
from typing import Any

from sqlalchemy import text

from tests.faults.scenario import scenario
from tests.faults.stand import Layout, Stand

_RATE = 40
_SETTINGS = {
    "admin_token": "an operator",
    "drain_rate": str(_RATE),
    "drain_batch": "4",
    # Other work on the machine makes a transaction some 300 ms longer.
    "drain_target_ms": "800",
}
_SLOW_SECONDS = 0.12  # a transaction has nine round trips
_RECOVERED_SECONDS = 60.0


async def _drain(stand: Stand) -> dict[str, Any]:
    """What a gateway says of the drain."""
    request = urllib.request.Request(
        f"{stand.url('gateway-1')}/admin/drain", headers={"Authorization": "Bearer an operator"}
    )

    def read() -> dict[str, Any]:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    return await asyncio.to_thread(read)


async def _until_rate(stand: Stand, low: float, high: float, seconds: float) -> dict[str, Any]:
    """Wait until the rate that the gateway tells is in between."""
    drain: dict[str, Any] = {}

    async def reached() -> bool:
        drain.update(await _drain(stand))
        return bool(low <= drain["effective_rate"] <= high)

    await stand.until(reached, f"a rate of {low} to {high} orders/s", seconds)
    return drain


@scenario(
    "the database is slow, and the drain is killed meanwhile",
    layout=Layout(settings=_SETTINGS),
    rate=1.3 * _RATE,
)
async def slow(stand: Stand) -> None:
    link = stand.link("consumer-1", "database")
    link.there.delay = _SLOW_SECONDS
    drain = await _until_rate(stand, 0, 0.85 * _RATE, 60)
    assert (drain["rate_reason"], drain["rate_cap"]) == ("slow", _RATE)
    await stand.wait(0.0, 3.0)
    stand.signal("consumer-1", signal.SIGKILL)
    await stand.died("consumer-1")
    kept = await stand.count("adaptive_rate FROM drain_leases")
    assert 0.1 * _RATE <= kept < _RATE
    await stand.again("consumer-1")
    drain = await _until_rate(stand, 0, 0.9 * _RATE, 10)
    assert drain["rate_reason"] in ("inherited", "slow")
    link.heal()
    await _until_rate(stand, 0.95 * _RATE, _RATE, _RECOVERED_SECONDS)


@scenario(
    "the database refuses each transaction for a second, with an adaptive rate",
    layout=Layout(settings=_SETTINGS | {"drain_target_ms": "5000"}),
    rate=1.3 * _RATE,
)
async def refusing(stand: Stand) -> None:
    async with stand.session() as session:
        await session.execute(
            text(f"ALTER DATABASE \"{stand.database_name}\" SET lock_timeout = '50ms'")
        )
        await session.commit()
    stand.signal("consumer-1", signal.SIGTERM)
    await stand.died("consumer-1")
    await stand.again("consumer-1")
    async with stand.locked("radio"):
        await stand.wait(1.0)
    drain = await _until_rate(stand, _RATE / 2, 0.75 * _RATE, 30)
    assert drain["rate_reason"] in ("busy", "recovering")
    await _until_rate(stand, 0.95 * _RATE, _RATE, _RECOVERED_SECONDS)
