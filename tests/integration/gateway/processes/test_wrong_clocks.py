"""Gateways whose clock is wrong: the drain's clock decides, and the skew is shown."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.order_states import Reason, Status
from flashsale.domain.sales import Sale
from loadtest.processes import Process, process, scrape
from loadtest.servers import free_port
from tests.clocks import clock_ahead
from tests.conftest import an_order, draining, unique
from tests.database import rows
from tests.integration.shop import Shop

SKEW = "flashsale_clock_skew_seconds", ""


@contextmanager
def skewed_gateway(shop: Shop, seconds: float, metrics_port: int) -> Iterator[Process]:
    # A program of its own, not a fork: the library must be loaded before it.
    changes = {"FLASHSALE_METRICS_PORT": str(metrics_port)}
    with process(
        ["flashsale", "gateway"],
        shop.folder / f"{unique('gateway')}.log",
        shop.environment | changes | clock_ahead(seconds),
    ) as gateway:
        shop.ready(gateway)
        yield gateway


async def order(shop: Shop, sku: str) -> int:
    body = {"sku": sku, "customer_id": unique("c")}
    async with shop.client.post(f"{shop.url}/orders", json=body) as answer:
        return answer.status


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.1)


async def offered(shop: Shop, sku: str) -> None:
    async with asyncio.timeout(60):
        while (await shop.client.get(f"{shop.url}/sales/{sku}")).status != 200:
            await asyncio.sleep(0.1)


async def state(shop: Shop, sku: str) -> str:
    async with shop.client.get(f"{shop.url}/sales/{sku}") as answer:
        return str((await answer.json())["state"])


async def test_a_gateway_that_does_not_know_that_its_clock_is_ahead_sells_nothing_too_early(
    shop: Shop,
) -> None:
    opens_at = time.time() + 50
    await shop.ledger.create_sale(Sale("early", 100_000, opens_at=opens_at))
    with skewed_gateway(shop, 60, free_port()):
        for _ in range(10):
            assert await order(shop, "early") == 202, "it believes that the sale is open"
        with shop.start("consumer"):
            async with asyncio.timeout(60):
                while len(found := await shop.ledger.outcomes("early")) < 10:
                    await asyncio.sleep(0.1)
    assert time.time() < opens_at, "the machine was too slow for this test"
    assert {(o.status, o.reason) for o in found.values()} == {
        (Status.REJECTED, Reason.SALE_NOT_OPEN)
    }
    assert await shop.count("orders WHERE accepted_at > decided_at") == 0


async def test_a_gateway_whose_clock_is_ahead_opens_and_closes_by_the_clock_of_the_drain(
    shop: Shop,
) -> None:
    port = free_port()
    with skewed_gateway(shop, 60, port), shop.start("consumer"):
        await until(lambda: SKEW in scrape(port))
        assert 59.9 < scrape(port)[SKEW] < 62
        opens_at = time.time() + 3
        closes_at = opens_at + 3
        await shop.ledger.create_sale(Sale("early", 1000, 0, None, opens_at, closes_at))
        await offered(shop, "early")
        seen: list[tuple[float, int, str]] = []
        while time.time() < closes_at + 1:
            seen.append((time.time(), await order(shop, "early"), await state(shop, "early")))
            await asyncio.sleep(0.05)
        taken = [status for _, status, _ in seen].count(202)
        async with asyncio.timeout(60):
            while len(found := await shop.ledger.outcomes("early")) < taken:
                await asyncio.sleep(0.1)
    for at, status, told in seen:
        if at < opens_at - 0.5:
            assert (status, told) == (409, "scheduled")
        elif opens_at + 0.5 < at < closes_at - 0.5:
            assert (status, told) == (202, "open")
        elif at > closes_at + 0.5:
            assert (status, told) == (409, "closed")
    assert {outcome.status for outcome in found.values()} == {Status.CONFIRMED}
    assert await shop.count("orders WHERE accepted_at > decided_at") == 0
    assert await shop.count(f"orders WHERE decided_at < {opens_at}") == 0


async def test_an_order_of_a_clock_that_is_behind_is_one_that_waited(shop: Shop) -> None:
    port = free_port()
    with skewed_gateway(shop, -60, port), shop.start("consumer"):
        await until(lambda: SKEW in scrape(port))
        assert -60.1 < scrape(port)[SKEW] < -58
        closes_at = time.time() - 30
        await shop.ledger.create_sale(Sale("over", 5, closes_at=closes_at))
        await offered(shop, "over")
        assert await order(shop, "over") == 202
        async with asyncio.timeout(60):
            while not (found := await shop.ledger.outcomes("over")):
                await asyncio.sleep(0.1)
        [outcome] = found.values()
        assert outcome.status is Status.CONFIRMED
        assert outcome.order.accepted_at < closes_at


@contextmanager
def skewed_consumer(shop: Shop, seconds: float) -> Iterator[Process]:
    with process(
        ["flashsale", "consumer"],
        shop.folder / f"{unique('consumer')}.log",
        shop.environment
        | {"FLASHSALE_METRICS_PORT": "0", "FLASHSALE_DRAIN_RATE": "40"}
        | clock_ahead(seconds),
    ) as consumer:
        yield consumer


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_a_drain_on_a_machine_with_a_wrong_clock_ends_holds_in_time(
    shop: Shop, seconds: float
) -> None:
    await shop.ledger.create_sale(Sale("held", 100, hold_seconds=600))
    short, long = an_order(sku="held"), an_order(sku="held")
    over_at = time.time() + 1
    async with draining(shop.ledger) as right:
        await right.sell([short], over_at - 600 - GRACE_SECONDS)
        await right.sell([long], time.time())
    with skewed_consumer(shop, seconds) as consumer:
        await states(shop, "held", {short.id: Status.EXPIRED, long.id: Status.HELD})
        assert "Traceback" not in consumer.output
    assert time.time() >= over_at
    ended = await rows(shop.database_url, "SELECT decided_at FROM orders WHERE status = 'expired'")
    assert over_at - 0.1 <= ended[0].decided_at <= time.time()


async def states(shop: Shop, sku: str, wanted: dict[str, Status]) -> None:
    """Wait until the orders of a sale have these states."""
    async with asyncio.timeout(60):
        while {i: o.status for i, o in (await shop.ledger.outcomes(sku)).items()} != wanted:
            await asyncio.sleep(0.1)


async def test_a_drain_whose_clock_is_behind_decides_and_no_order_is_decided_before_it_came(
    shop: Shop,
) -> None:
    with (
        skewed_gateway(shop, 60, free_port()),
        skewed_consumer(shop, -3600) as consumer,
    ):
        await shop.ledger.create_sale(Sale("late", 100))
        await offered(shop, "late")
        for _ in range(50):
            assert await order(shop, "late") == 202
        async with asyncio.timeout(60):
            while len(found := await shop.ledger.outcomes("late")) < 50:
                await asyncio.sleep(0.1)
        assert "Traceback" not in consumer.output
    assert {outcome.status for outcome in found.values()} == {Status.CONFIRMED}
    assert await shop.count("orders WHERE accepted_at > decided_at") == 0
