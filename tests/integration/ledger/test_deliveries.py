"""What the ledger promises about orders that are delivered to the order service of the shop."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from flashsale.domain.delivery.answers import Refused, Taken, Undeliverable
from flashsale.domain.delivery.receiver import Parcel
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import DeliveryState, Reason, Status
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger import (
    Begun,
    DeliveryBooks,
    Ended,
    Ledger,
    LedgerRefused,
    LedgerUnavailable,
    open_ledger,
)
from tests.conftest import an_order, draining
from tests.database import execute, rows

NOW = 1_800_000_000.0
PENDING, DELIVERED, FAILED = DeliveryState


@asynccontextmanager
async def delivering(ledger: Ledger) -> AsyncIterator[DeliveryBooks]:
    """The books of the only drain of a sale."""
    async with ledger.hold_drain("sale") as lease:
        yield lease.open_deliveries()


def states(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.reason or outcome.status for outcome in outcomes]


Answer = Taken | Refused | Undeliverable


def ended(parcel: Parcel, answer: Answer, attempts: int = 1) -> Ended:
    return Ended(parcel.order, parcel.decided, answer, attempts, parcel.traceparent)


async def stored(ledger: Ledger, order: Order) -> Outcome | None:
    return (await ledger.find([OrderId(order.id)])).get(OrderId(order.id))


async def test_an_order_of_our_stock_is_decided_and_then_delivered(
    ledger: Ledger, database_url: str
) -> None:
    await ledger.create_sale(Sale("tv", 1))
    first, second = an_order(), an_order()
    async with delivering(ledger) as books:
        begun = await books.begin([first, second], NOW, traceparents={first.id: "00-a-b-01"})
        assert begun.parcels == [Parcel(first, decided=True, traceparent="00-a-b-01")]
        assert states(begun.verdict.outcomes) == ["confirmed", "sold_out"]
        assert [sale.sold for sale in begun.verdict.sales] == [1]
        assert await stored(ledger, first) == Outcome(first, Status.CONFIRMED, delivery=PENDING)
        verdict = await books.end([ended(begun.parcels[0], Taken("A-7"), 2)], NOW + 1)
    delivered = Outcome(first, Status.CONFIRMED, order_ref="A-7", delivery=DELIVERED)
    assert verdict.outcomes == [delivered]
    assert await stored(ledger, first) == delivered
    [row] = await rows(database_url, "SELECT * FROM orders WHERE delivery IS NOT NULL")
    assert (row.delivery_attempts, row.decided_at) == (2, NOW)
    books_of_ledger = await ledger.audit()
    assert books_of_ledger.wrong == ()
    assert (books_of_ledger.orders, books_of_ledger.sold) == (2, 1)


async def test_an_order_of_our_stock_that_the_shop_refuses_stays_confirmed(
    ledger: Ledger, database_url: str
) -> None:
    await ledger.create_sale(Sale("tv", 5))
    async with delivering(ledger) as books:
        begun = await books.begin([an_order(), an_order()], NOW)
        refused, unreachable = begun.parcels
        verdict = await books.end(
            [
                ended(refused, Refused(Reason.SOLD_OUT)),
                ended(unreachable, Undeliverable("410 G\0one"), 8),
            ],
            NOW,
        )
    assert [(o.status, o.delivery) for o in verdict.outcomes] == [(Status.CONFIRMED, FAILED)] * 2
    found = await rows(database_url, "SELECT * FROM orders ORDER BY delivery_attempts")
    assert [row.delivery_reason for row in found] == ["refused: sold_out", "410 Gone"]
    assert [sale.sold_out for sale in await ledger.sales()] == [False]
    assert (await ledger.audit()).wrong == ()


async def test_a_batch_that_begins_again_delivers_what_has_not_ended(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5))
    batch = [an_order(), an_order()]
    async with delivering(ledger) as books:
        first = await books.begin(batch, NOW)
        await books.end([ended(first.parcels[0], Taken())], NOW)
    async with delivering(ledger) as books:
        again = await books.begin(batch, NOW + 5, redelivered=[o.id for o in batch])
        assert again.parcels == [Parcel(batch[1], decided=True, maybe_known=True)]
        assert [o.delivery for o in again.verdict.outcomes] == [DELIVERED, PENDING]
        end = [ended(again.parcels[0], Taken("B-1"))]
        assert await books.end(end, NOW + 6) == await books.end(end, NOW + 7)
    books_of_ledger = await ledger.audit()
    assert books_of_ledger.wrong == ()
    assert (books_of_ledger.orders, books_of_ledger.sold) == (2, 2)


async def test_a_delivered_order_stays_delivered(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5))
    order = an_order()
    async with delivering(ledger) as books:
        [parcel] = (await books.begin([order], NOW)).parcels
        taken = await books.end([ended(parcel, Taken("A-7"))], NOW)
        for late in (Undeliverable("timeout"), Refused(Reason.SOLD_OUT), Taken("A-8")):
            assert (await books.end([ended(parcel, late)], NOW)).outcomes == taken.outcomes
        assert await books.begin([order], NOW, replayed=[order.id]) == Begun(
            verdict=(await books.begin([order], NOW)).verdict, parcels=[]
        )


async def test_a_failed_delivery_that_is_replayed_is_delivered_again(
    ledger: Ledger, database_url: str
) -> None:
    await ledger.create_sale(Sale("tv", 5))
    order = an_order()
    async with delivering(ledger) as books:
        [parcel] = (await books.begin([order], NOW)).parcels
        await books.end([ended(parcel, Undeliverable("500"), 8)], NOW)
        assert (await books.begin([order], NOW)).parcels == []
        begun = await books.begin([order], NOW, replayed=[order.id])
        assert begun.parcels == [Parcel(order, decided=True, maybe_known=True)]
        assert [o.delivery for o in begun.verdict.outcomes] == [PENDING]
        await books.end([ended(begun.parcels[0], Taken("A-7"))], NOW)
    [row] = await rows(database_url, "SELECT * FROM orders")
    assert (row.delivery, row.order_ref, row.delivery_reason) == ("delivered", "A-7", None)
    assert len(await rows(database_url, "SELECT * FROM outbox")) == 1
    assert (await ledger.audit()).wrong == ()


async def test_the_shop_decides_an_order_of_its_stock(ledger: Ledger, database_url: str) -> None:
    await ledger.create_sale(Sale("tv", None))
    batch = [an_order(quantity=2), an_order(), an_order()]
    async with delivering(ledger) as books:
        begun = await books.begin(batch, NOW)
        assert begun.parcels == [Parcel(order, decided=False) for order in batch]
        assert begun.verdict.outcomes == []
        assert await ledger.find([OrderId(order.id) for order in batch]) == {}
        answers: list[Answer] = [
            Taken("A-7"),
            Refused(Reason.NOT_ENOUGH_LEFT),
            Undeliverable("404"),
        ]
        ends = [ended(p, answer, 3) for p, answer in zip(begun.parcels, answers, strict=True)]
        verdict = await books.end(ends, NOW + 1)
        assert await books.end(ends, NOW + 2) == verdict
    assert verdict.outcomes == [
        Outcome(batch[0], Status.CONFIRMED, order_ref="A-7", delivery=DELIVERED),
        Outcome(batch[1], Status.REJECTED, Reason.NOT_ENOUGH_LEFT),
        Outcome(batch[2], Status.FAILED, "404"),
    ]
    assert [(sale.stock, sale.sold, sale.sold_out) for sale in verdict.sales] == [(None, 2, False)]
    assert [(sale.stock, sale.sold) for sale in await ledger.sales()] == [(None, 2)]
    for order, outcome in zip(batch, verdict.outcomes, strict=True):
        assert await stored(ledger, order) == outcome
    topics = await rows(database_url, "SELECT topic FROM outbox ORDER BY topic")
    assert [row.topic for row in topics] == ["order.confirmed.tv", "order.rejected.tv"]
    assert (await ledger.audit()).wrong == ()


async def test_the_terms_of_a_sale_refuse_before_the_shop_is_asked(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", None, customer_limit=2, opens_at=10, closes_at=20))
    batch = [
        an_order(sku="none"),
        an_order(accepted_at=5),
        an_order(accepted_at=25),
        an_order(accepted_at=15, quantity=3),
        an_order(accepted_at=15),
    ]
    async with delivering(ledger) as books:
        begun = await books.begin(batch, NOW)
    assert states(begun.verdict.outcomes) == [
        "unknown_sku",
        "sale_not_open",
        "sale_closed",
        "customer_limit",
    ]
    assert [parcel.order for parcel in begun.parcels] == batch[4:]
    assert (await ledger.audit()).wrong == ()


async def test_what_the_shop_is_deciding_counts_for_the_limit_of_a_customer(
    ledger: Ledger,
) -> None:
    await ledger.create_sale(Sale("tv", None, customer_limit=2))
    mine = [an_order(customer_id="me") for _ in range(6)]
    async with delivering(ledger) as books:
        begun = await books.begin(mine[:1], NOW)
        more = await books.begin(mine[1:3], NOW)
        assert [parcel.order for parcel in more.parcels] == mine[1:2]
        assert states(more.verdict.outcomes) == ["customer_limit"]
        # What the shop has refused counts no more, what it has taken counts for good.
        await books.end([ended(begun.parcels[0], Refused(Reason.NOT_ENOUGH_LEFT))], NOW)
        await books.end([ended(more.parcels[0], Taken())], NOW)
        last = await books.begin(mine[3:], NOW)
        assert [parcel.order for parcel in last.parcels] == mine[3:4]
        assert states(last.verdict.outcomes) == ["customer_limit", "customer_limit"]
        await books.end([ended(last.parcels[0], Taken())], NOW)
    books_of_ledger = await ledger.audit()
    assert books_of_ledger.wrong == ()
    assert books_of_ledger.sold == 2


async def test_an_order_that_comes_twice_is_delivered_and_sold_once(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", None, customer_limit=1))
    order = an_order()
    async with delivering(ledger) as books:
        begun = await books.begin([order, order], NOW)
        assert begun.parcels == [Parcel(order, decided=False)]
        again = await books.begin([order], NOW)
        assert again.parcels == [Parcel(order, decided=False, maybe_known=True)]
        taken = ended(order_of(begun), Taken("A-7"))
        verdict = await books.end([taken, ended(order_of(begun), Undeliverable("409"))], NOW)
        assert states(verdict.outcomes) == ["confirmed", "confirmed"]
        decided = await books.begin([order, order], NOW)
        assert (decided.parcels, states(decided.verdict.outcomes)) == ([], ["confirmed"] * 2)
    books_of_ledger = await ledger.audit()
    assert books_of_ledger.wrong == ()
    assert (books_of_ledger.orders, books_of_ledger.sold) == (1, 1)


def order_of(begun: Begun) -> Parcel:
    [parcel] = begun.parcels
    return parcel


async def test_of_an_order_that_comes_with_other_contents_the_first_one_counts(
    ledger: Ledger,
) -> None:
    await ledger.create_sale(Sale("tv", None))
    await ledger.create_sale(Sale("ours", 9))
    first = an_order(quantity=1)
    others = [
        an_order(id=first.id, customer_id=first.customer_id, quantity=5, sku=sku)
        for sku in ("tv", "ours", "none")
    ]
    async with delivering(ledger) as books:
        begun = [await books.begin([first, *others], NOW), await books.begin(others, NOW)]
        assert [order_of(one).order for one in begun] == [first, first]
        assert [one.verdict.outcomes for one in begun] == [[], []]
        verdict = await books.end([ended(order_of(begun[0]), Taken())], NOW)
        assert [(sale.sku, sale.sold) for sale in verdict.sales] == [("tv", 1)]
    assert (await ledger.audit()).wrong == ()


async def test_a_sale_that_the_shop_has_sold_out_is_sold_out_for_everyone(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", None))
    sent, behind, later = an_order(), an_order(), an_order()
    async with delivering(ledger) as books:
        begun = await books.begin([sent, behind], NOW)
        verdict = await books.end([ended(begun.parcels[0], Refused(Reason.SOLD_OUT))], NOW)
        assert [sale.sold_out for sale in verdict.sales] == [True]
        assert [sale.sold_out for sale in await ledger.sales()] == [True]
        refused = await books.begin([later], NOW)
        assert (refused.parcels, states(refused.verdict.outcomes)) == ([], ["sold_out"])
    async with delivering(ledger) as books:
        # The shop may have taken it before it was sold out, and the drain died then.
        again = await books.begin([behind], NOW, redelivered=[behind.id])
        assert again.parcels == [Parcel(behind, decided=False, maybe_known=True)]
        verdict = await books.end([ended(again.parcels[0], Taken("A-8"))], NOW)
        assert states(verdict.outcomes) == ["confirmed"]
        assert [(sale.sold, sale.sold_out) for sale in verdict.sales] == [(1, True)]
    assert (await ledger.audit()).wrong == ()


async def test_a_failed_order_of_the_shops_stock_is_delivered_again_if_it_is_replayed(
    ledger: Ledger, database_url: str
) -> None:
    await ledger.create_sale(Sale("tv", None))
    order = an_order()
    async with delivering(ledger) as books:
        await books.end([ended(order_of(await books.begin([order], NOW)), Undeliverable("x"))], NOW)
        assert states((await books.begin([order], NOW)).verdict.outcomes) == ["x"]
        begun = await books.begin([order], NOW, replayed=[order.id])
        assert begun.parcels == [Parcel(order, decided=False, maybe_known=True)]
        # Until the shop has decided it, it is what it was.
        assert await stored(ledger, order) == Outcome(order, Status.FAILED, "x")
        verdict = await books.end([ended(begun.parcels[0], Taken())], NOW)
    assert states(verdict.outcomes) == ["confirmed"]
    assert len(await rows(database_url, "SELECT * FROM outbox")) == 1
    assert (await ledger.audit()).wrong == ()


async def test_a_failed_order_of_our_stock_is_decided_and_delivered_if_it_is_replayed(
    ledger: Ledger,
) -> None:
    await ledger.create_sale(Sale("tv", 1))
    order = an_order()
    async with ledger.hold_drain("sale") as lease:
        await lease.open_sink().fail(OrderId(order.id), "refused", NOW, order.customer_id)
        books = lease.open_deliveries()
        assert (await books.begin([order], NOW)).parcels == []
        begun = await books.begin([order], NOW, replayed=[order.id])
    assert states(begun.verdict.outcomes) == ["confirmed"]
    assert begun.parcels == [Parcel(order, decided=True, maybe_known=True)]
    assert (await ledger.audit()).wrong == ()


async def test_a_drain_without_an_order_service_does_not_decide_for_the_shop(
    ledger: Ledger,
) -> None:
    await ledger.create_sale(Sale("tv", None))
    order = an_order()
    async with draining(ledger) as sink:
        with pytest.raises(
            LedgerRefused, match=r"the stock of tv is the shop's.*FLASHSALE_SINK_URL"
        ):
            await sink.sell([order], NOW)
    assert await stored(ledger, order) is None
    assert [sale.sold for sale in await ledger.sales()] == [0]


async def test_an_order_that_was_confirmed_before_there_was_an_order_service_is_not_delivered(
    ledger: Ledger,
) -> None:
    await ledger.create_sale(Sale("tv", 1))
    order = an_order()
    async with ledger.hold_drain("sale") as lease:
        verdict = await lease.open_sink().sell([order], NOW)
        begun = await lease.open_deliveries().begin([order], NOW)
    assert (begun.parcels, begun.verdict) == ([], verdict)


async def test_the_pace_holds_the_commit_of_a_begin_and_not_its_statements(
    postgres_url: str,
) -> None:
    written, open_ = asyncio.Event(), asyncio.Event()

    async def wait_to_commit() -> None:
        written.set()
        await open_.wait()

    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 1))
        order = an_order()
        async with ledger.hold_drain("sale") as lease:
            books = lease.open_deliveries(wait_to_commit)
            beginning = asyncio.create_task(books.begin([order], NOW))
            async with asyncio.timeout(60):
                await written.wait()
            assert await stored(ledger, order) is None
            open_.set()
            begun = await beginning
            assert await stored(ledger, order) is not None
            await books.end([ended(begun.parcels[0], Taken())], NOW)


async def test_begins_and_ends_may_come_at_once(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 20))
    async with ledger.hold_drain("sale") as lease:
        books = lease.open_deliveries()
        begun = await books.begin([an_order() for _ in range(5)], NOW)
        await asyncio.gather(
            books.end([ended(p, Taken()) for p in begun.parcels], NOW),
            books.begin([an_order() for _ in range(5)], NOW),
            lease.touch(),
        )
    books_of_ledger = await ledger.audit()
    assert books_of_ledger.wrong == ()
    assert books_of_ledger.sold == 10


async def test_a_drain_that_lost_its_lease_writes_no_delivery(postgres_url: str) -> None:
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 5))
        async with delivering(ledger) as books:
            begun = await books.begin([an_order()], NOW)
            await execute(postgres_url, "UPDATE drain_leases SET epoch = epoch + 1")
            with pytest.raises(LedgerUnavailable, match="lease"):
                await books.end([ended(begun.parcels[0], Taken())], NOW)
            with pytest.raises(LedgerUnavailable, match="lease"):
                await books.begin([an_order()], NOW)
    [row] = await rows(postgres_url, "SELECT delivery FROM orders")
    assert row.delivery == "pending"


@pytest.mark.parametrize("stock", [10**9, None], ids=["ours", "the shop's"])
async def test_deliveries_of_a_long_sale_stay_fast(ledger: Ledger, stock: int | None) -> None:
    """The plans made while the tables were empty must not scan them when they are full."""
    await ledger.create_sale(Sale("tv", stock, customer_limit=5))
    async with delivering(ledger) as books:

        async def deliver(batches: int) -> float:
            """Return the shortest time of a batch: other work on the machine makes some longer."""
            shortest = math.inf
            for _ in range(batches):
                batch = [an_order() for _ in range(200)]
                started = time.perf_counter()
                begun = await books.begin(batch, NOW)
                await books.end([ended(parcel, Taken()) for parcel in begun.parcels], NOW)
                shortest = min(shortest, time.perf_counter() - started)
            return shortest

        early = await deliver(15)
        await deliver(70)
        late = await deliver(15)
    assert late < 3 * early
