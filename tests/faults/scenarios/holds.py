"""Items are held for payments, which come twice, late or never, while something breaks."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from flashsale.audit.history import OrderAttempt, body_hash
from tests.faults.provider import SETTINGS, Provider, held, watch_books
from tests.faults.scenario import scenario
from tests.faults.stand import GRACE_SECONDS, Layout, Stand

_HOLD_SECONDS = 3
_TERMS: dict[str, int | bool] = {"hold_seconds": _HOLD_SECONDS, "waitlist": 50}
_FEW = {"stock": 10, "holds": _TERMS, "settings": SETTINGS | {"drain_rate": "2000"}}
_ONE = Layout(**_FEW)  # type: ignore[arg-type]
_GATEWAYS = Layout(gateways=2, **_FEW)  # type: ignore[arg-type]
_STANDBY = Layout(consumers=2, **_FEW)  # type: ignore[arg-type]
# Few, as what is of interest happens to those who hold something.
_CROWD: Mapping[str, object] = {
    "rate": 8.0,
    "shoppers": {"follow": 0.05, "skus": ("tv", "tv", "radio")},
}
_MOST_PAYERS = 6
"""How many try to pay at most: with fewer than the stock, the sale is not sold out too soon."""

_PAYING = 0.3
_TAKEOVER_SECONDS = 15.0
_ENDED_SECONDS = 120.0
_LATE = 1_000
_OTHERS = 400


@asynccontextmanager
async def _paying(stand: Stand, signed_ago: float = 0.0) -> AsyncIterator[Provider]:
    """Have some shoppers pay for what they hold: once, twice, in vain, or too late.

    At the end every payment is taken in, and the holds of those who have not paid have ended.
    """
    gateways = [name for name in stand.layout.names() if name.startswith("gateway")]
    seen: set[str] = set()
    payers = 0
    async with Provider(stand, gateways, signed_ago) as provider:

        def pay(held_now: list[str]) -> None:
            nonlocal payers
            for order_id in sorted(set(held_now) - seen):
                seen.add(order_id)
                if payers < _MOST_PAYERS and stand.dice.random() < _PAYING:
                    payers += 1
                    payments.create_task(_pay_for(stand, provider, order_id, payers % 5))

        async with asyncio.TaskGroup() as payments:
            watching = payments.create_task(watch_books(stand, pay))
            try:
                yield provider
                await _all_ended(stand)
            finally:
                watching.cancel()
        assert provider.results, "nobody has paid"
        await provider.check()


async def _pay_for(stand: Stand, provider: Provider, order_id: str, how: int) -> None:
    await stand.wait(0.0, 1.5)
    tell = provider.tell
    match how:
        case 1:  # told twice, at the same moment
            await asyncio.gather(*(tell(order_id, f"p-{order_id}") for _ in range(2)))
        case 2:  # the second try succeeds, and is told first
            await tell(order_id, f"p-{order_id}")
            await tell(order_id, f"p-{order_id}", "failed")
        case 3:  # about the moment at which the hold ends
            await stand.wait(_HOLD_SECONDS - 1.0, _HOLD_SECONDS + GRACE_SECONDS)
            await tell(order_id, f"p-{order_id}")
        case 4:  # paid twice
            await asyncio.gather(*(tell(order_id, f"{n}-{order_id}") for n in "pq"))
        case _:
            await tell(order_id, f"p-{order_id}")


async def _all_ended(stand: Stand) -> None:
    """Wait until the holds of this moment have ended."""
    before = set(await held(stand))

    async def ended() -> bool:
        return not before & set(await held(stand))

    await stand.until(ended, "the holds to end", _ENDED_SECONDS)


async def _moves_on(stand: Stand) -> None:
    """Wait until somebody in line was served."""

    async def served() -> bool:
        sold = await stand.count(
            "count(*) FROM orders WHERE sku = 'tv' AND place IS NOT NULL AND expires_at IS NOT NULL"
        )
        return sold > 0

    await stand.until(served, "somebody in line to be served", _ENDED_SECONDS)


async def _dies_at(stand: Stand, point: str) -> None:
    async with _paying(stand):
        await stand.again("consumer-1", point=f"{point}:{stand.dice.randint(1, 3)}")
        await stand.killed_itself("consumer-1")
        await stand.again("consumer-1")
        await _moves_on(stand)


@scenario("kill -9 between the end of a hold and the commit of the next", layout=_ONE, **_CROWD)
async def freed_not_committed(stand: Stand) -> None:
    await _dies_at(stand, "freed-not-committed")


@scenario("kill -9 after that commit, before anybody is told", layout=_ONE, **_CROWD)
async def freed_not_acked(stand: Stand) -> None:
    await _dies_at(stand, "freed-not-acked")


@scenario("1,000 late payments", layout=Layout(gateways=2, **(_FEW | {"stock": _LATE})), **_CROWD)  # type: ignore[arg-type]
async def late_payments(stand: Stand) -> None:
    async with (
        Provider(stand, ["gateway-1", "gateway-2"]) as provider,
        asyncio.TaskGroup() as watch,
    ):
        watching = watch.create_task(watch_books(stand, lambda _: None))
        late = await _reserve(stand, _LATE, "late")
        await _until_expired(stand, late)
        await _reserve(stand, _OTHERS, "other")
        began = time.monotonic()
        results = await asyncio.gather(*(provider.tell(i, f"p-{i}") for i in late))
        assert time.monotonic() - began < _ENDED_SECONDS
        assert set(results) == {"confirmed", "refund_due"}, set(results)
        await provider.check()
        confirmed = "count(*) FROM orders WHERE sku = 'tv' AND status = 'confirmed'"
        assert await stand.count(confirmed) == results.count("confirmed")
        refunds = "count(*) FROM outbox WHERE topic = 'order.refund_due.tv'"
        assert await stand.count(refunds) == results.count("refund_due")
        await _all_ended(stand)
        watching.cancel()


async def _reserve(stand: Stand, count: int, who: str) -> list[str]:
    """Have so many customers order a tv each; return the orders, once they are decided."""
    turns = asyncio.Semaphore(50)

    async def order(client: aiohttp.ClientSession, number: int) -> str:
        body = msgspec.json.encode({"sku": "tv", "customer_id": f"{who}-{number}", "quantity": 1})
        headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
        while True:
            async with turns:
                at, url = time.monotonic(), stand.url(f"gateway-{1 + number % 2}")
                async with client.post(f"{url}/orders", data=body, headers=headers) as answer:
                    view, status = await answer.json(content_type=None), answer.status
            problem = "" if status == 202 else str(view["type"]).rpartition("/")[2]
            stand.write(
                OrderAttempt(
                    *(at, time.monotonic() - at, "tv", f"{who}-{number}", "k", body_hash(body)),
                    *(status, view.get("order_id", ""), problem, url),
                )
            )
            if status == 202:
                return str(view["order_id"])
            assert status == 503, view
            await asyncio.sleep(0.2)

    async with aiohttp.ClientSession() as client:
        ids = await asyncio.gather(*(order(client, number) for number in range(count)))

    async def decided() -> bool:
        mine = "count(*) FROM orders WHERE customer_id LIKE :who"
        return await stand.count(mine, who=f"{who}-%") == count

    await stand.until(decided, f"{count} orders to be decided")
    return ids


async def _until_expired(stand: Stand, order_ids: list[str]) -> None:
    async def over() -> bool:
        expired = "count(*) FROM orders WHERE status = 'expired' AND id = ANY(:ids)"
        return await stand.count(expired, ids=order_ids) > _LATE * 0.8

    await stand.until(over, "the holds to end", _ENDED_SECONDS)


@scenario(
    "webhooks doubled, reordered and a minute late, and a gateway killed",
    layout=_GATEWAYS,
    **_CROWD,
)
async def webhooks(stand: Stand) -> None:
    async with _paying(stand, signed_ago=60.0) as provider:
        order_id, *_ = await _until_held(stand)
        stand.signal("gateway-1", signal.SIGKILL)
        await stand.died("gateway-1")
        # It is told to the gateway that is away, until that is there again.
        telling = asyncio.create_task(provider.tell(order_id, f"k-{order_id}", gateway="gateway-1"))
        await stand.wait(1.0)
        await stand.again("gateway-1")
        await telling
        assert provider.refused, "nobody met the gateway that was killed"
        await _moves_on(stand)


@scenario(
    "a gateway dies after the commit of a payment, before its answer", layout=_GATEWAYS, **_CROWD
)
async def not_answered(stand: Stand) -> None:
    async with _paying(stand) as provider:
        await stand.again("gateway-1", point="paid-not-answered:1")
        order_ids = await _until_held(stand)
        # The provider tells of each until it is answered. Whom it tells may have died of it.
        async with asyncio.TaskGroup() as telling:
            for order_id in order_ids[:3]:
                telling.create_task(provider.tell(order_id, f"a-{order_id}", gateway="gateway-1"))
            await stand.killed_itself("gateway-1")
            await stand.again("gateway-1")
        assert provider.refused, "nobody met the gateway that died"


@scenario("database frozen over the end of holds", layout=_ONE, **_CROWD)
async def frozen(stand: Stand) -> None:
    async with _paying(stand):
        await _until_held(stand)
        stand.database.pause()
        await stand.wait(_HOLD_SECONDS + GRACE_SECONDS + 1.0)
        stand.database.resume()
        await _moves_on(stand)


async def _until_held(stand: Stand) -> list[str]:
    """Wait for some holds; return their orders."""
    found: list[str] = []

    async def some() -> bool:
        found[:] = await held(stand)
        return len(found) >= 5

    await stand.until(some, "some holds")
    return found


async def _taken_over(stand: Stand, how: Callable[[Stand], Awaitable[None]]) -> None:
    async with _paying(stand):
        await _until_held(stand)
        await how(stand)
        before = await stand.decided()

        async def decides() -> bool:
            return await stand.decided() > before + 20

        await stand.until(decides, "the successor", _TAKEOVER_SECONDS)
        await _moves_on(stand)


@scenario("the drain killed while holds end, and another takes over", layout=_STANDBY, **_CROWD)
async def failover(stand: Stand) -> None:
    async def kill(stand: Stand) -> None:
        await stand.wait(_HOLD_SECONDS, _HOLD_SECONDS + GRACE_SECONDS)
        stand.signal("consumer-1", signal.SIGKILL)
        await stand.died("consumer-1")

    await _taken_over(stand, kill)


@scenario(
    "the drain frozen while holds end, and thawed when another drains", layout=_STANDBY, **_CROWD
)
async def zombie(stand: Stand) -> None:
    async def freeze(stand: Stand) -> None:
        stand.signal("consumer-1", signal.SIGSTOP)
        await stand.wait(_HOLD_SECONDS + GRACE_SECONDS)

    await _taken_over(stand, freeze)
    stand.signal("consumer-1", signal.SIGCONT)
    await stand.wait(2.0)
