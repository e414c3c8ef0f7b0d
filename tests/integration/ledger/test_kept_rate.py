"""The adaptive rate stays in the lease, and the next drain finds it there."""

from flashsale.domain.sales import Sale
from flashsale.ledger import Ledger
from tests.conftest import an_order

NOW = 1_800_000_000.0


async def kept(ledger: Ledger, name: str = "sale") -> float | None:
    async with ledger.hold_drain(name) as lease:
        return lease.kept_rate


async def test_a_new_drain_has_no_rate_of_its_own(ledger: Ledger) -> None:
    assert await kept(ledger) is None


async def test_a_rate_is_kept_with_the_next_touch_and_until_the_next_change(
    ledger: Ledger,
) -> None:
    async with ledger.hold_drain("sale") as lease:
        lease.kept_rate = 123.5
        await lease.touch()
    assert await kept(ledger) == 123.5
    assert await kept(ledger, "another sale") is None
    async with ledger.hold_drain("sale") as lease:
        await lease.touch()
        lease.kept_rate = None
        await lease.touch()
    assert await kept(ledger) is None


async def test_a_rate_is_kept_with_the_next_batch(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5))
    async with ledger.hold_drain("sale") as lease:
        lease.kept_rate = 50.0
        await lease.open_sink().sell([an_order()], NOW)
    assert await kept(ledger) == 50.0


async def test_a_rate_that_was_never_written_is_not_kept(ledger: Ledger) -> None:
    async with ledger.hold_drain("sale") as lease:
        lease.kept_rate = 50.0
    assert await kept(ledger) is None
