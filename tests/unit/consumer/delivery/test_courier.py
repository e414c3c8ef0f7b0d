"""The courier keeps the order of the queue, retries, and holds up nobody for a failing order."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from consumer.delivery.attempt_gate import AttemptGate
from consumer.delivery.courier import Courier
from consumer.delivery.shipment import Shipment
from flashsale.domain.delivery import attempts, breaker
from flashsale.domain.delivery.answers import (
    Answer,
    Busy,
    Taken,
    Trouble,
    TryAgain,
    Undeliverable,
)
from flashsale.domain.delivery.attempts import MOST_ATTEMPTS
from flashsale.domain.delivery.receiver import Parcel
from tests.unit.consumer.delivery.fakes import FakeReceiver, a_gate, a_parcel, takes

FAILED = TryAgain("the receiver answers 500", trouble=Trouble.SERVER_ERROR)


@dataclass
class Sent:
    """A courier at work, and what it has handed on."""

    courier: Courier
    task: "asyncio.Task[None]"
    ended: list[Shipment] = field(default_factory=list)

    async def until_ended(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.ended) < count:
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.001)


@asynccontextmanager
async def sending(
    receiver: FakeReceiver,
    gate: AttemptGate,
    *,
    concurrency: int = 8,
    size: int = 1,
    may_send: Callable[[float], bool] = lambda now: True,
) -> AsyncIterator[Sent]:
    ended: list[Shipment] = []
    courier = Courier(
        receiver,
        gate,
        concurrency=concurrency,
        size=size,
        may_send=may_send,
        ended=ended.append,
    )
    task = asyncio.create_task(courier.run())
    try:
        yield Sent(courier, task, ended)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def shipments(count: int) -> list[Shipment]:
    return [Shipment(a_parcel()) for _ in range(count)]


def ids(of: list[Shipment]) -> list[str]:
    return [shipment.id for shipment in of]


async def test_first_attempts_keep_the_order_of_the_queue() -> None:
    receiver, (_, gate) = FakeReceiver(), a_gate()
    orders = shipments(200)
    async with sending(receiver, gate) as sent:
        sent.courier.add(orders[:50])
        sent.courier.add(orders[50:])
        await sent.until_ended(200)
    assert receiver.ids == ids(orders)
    assert all(isinstance(shipment.answer, Taken) for shipment in sent.ended)


async def test_no_more_requests_are_in_flight_than_the_concurrency() -> None:
    receiver, (_, gate) = FakeReceiver(), a_gate()
    receiver.open.clear()
    async with sending(receiver, gate, concurrency=5) as sent:
        sent.courier.add(shipments(50))
        await receiver.seen(5)
        receiver.open.set()
        await sent.until_ended(50)
    assert receiver.most_at_once == 5


async def test_an_order_that_fails_holds_up_no_other() -> None:
    orders = shipments(100)
    bad = orders[0].id

    def rule(parcel: Parcel) -> Answer:
        return FAILED if parcel.order.id == bad else takes(parcel)

    receiver, (_, gate) = FakeReceiver(rule), a_gate()
    async with sending(receiver, gate, concurrency=1) as sent:
        sent.courier.add(orders)
        await sent.until_ended(99)
    assert bad not in ids(sent.ended)
    assert orders[0].attempts.failed >= 1


async def test_an_order_that_always_fails_is_undeliverable_after_eight_attempts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flashsale.domain.delivery.attempts.LAST_PAUSE_SECONDS", 0.001)
    receiver, (_, gate) = FakeReceiver(lambda _: FAILED), a_gate()
    [order] = shipments(1)
    async with sending(receiver, gate) as sent:
        sent.courier.add([order])
        await sent.until_ended(1)
    assert len(receiver.requests) == MOST_ATTEMPTS
    assert [parcel.maybe_known for [parcel] in receiver.requests] == [False] + 7 * [True]
    assert isinstance(order.answer, Undeliverable)
    assert order.end().attempts == MOST_ATTEMPTS


async def test_while_the_receiver_is_busy_nothing_is_sent_and_no_attempt_is_counted() -> None:
    orders = shipments(20)
    busy_until = time.monotonic() + 0.1

    def rule(parcel: Parcel) -> Answer:
        return Busy("429", 0.6) if time.monotonic() < busy_until else takes(parcel)

    receiver, (control, gate) = FakeReceiver(rule), a_gate()
    async with sending(receiver, gate, concurrency=1) as sent:
        sent.courier.add(orders)
        await receiver.seen(2)
        first, second = receiver.seen_at[:2]
        await sent.until_ended(20)
    assert second - first >= 0.6
    assert receiver.ids[1:] == ids(orders)
    assert {order.end().attempts for order in orders} == {1}
    assert control.resumes_at is None


async def test_an_attempt_is_not_begun_without_the_lease() -> None:
    receiver, (_, gate) = FakeReceiver(), a_gate()
    held = False
    async with sending(receiver, gate, may_send=lambda now: held) as sent:
        sent.courier.add(shipments(3))
        await asyncio.sleep(0.15)
        assert receiver.requests == []
        held = True
        await sent.until_ended(3)


async def test_a_halted_courier_lets_what_is_in_flight_end_and_begins_nothing() -> None:
    receiver, (_, gate) = FakeReceiver(), a_gate()
    receiver.open.clear()
    async with sending(receiver, gate, concurrency=2) as sent:
        sent.courier.add(shipments(10))
        await receiver.seen(2)
        sent.courier.halt()
        assert not sent.courier.idle
        receiver.open.set()
        await sent.courier.until_idle()
        assert len(sent.ended) == 2
    assert len(receiver.requests) == 2


async def test_a_batch_has_at_most_so_many_orders_in_the_order_of_the_queue() -> None:
    receiver, (_, gate) = FakeReceiver(), a_gate(size=50)
    orders = shipments(120)
    async with sending(receiver, gate, size=50) as sent:
        sent.courier.add(orders)
        await sent.until_ended(120)
    assert [len(request) for request in receiver.requests] == [50, 50, 20]
    assert receiver.ids == ids(orders)


async def test_orders_of_a_batch_that_is_refused_as_a_whole_are_tried_alone() -> None:
    orders = shipments(10)
    bad = orders[3].id
    refused = Undeliverable("the receiver answers 400")
    receiver, (_, gate) = FakeReceiver(), a_gate(size=10)

    async def send(parcels: list[Parcel]) -> list[Answer]:
        receiver.requests.append(list(parcels))
        if any(parcel.order.id == bad for parcel in parcels):
            return [refused] * len(parcels)
        return [takes(parcel) for parcel in parcels]

    receiver.send = send  # type: ignore[method-assign,assignment]
    async with sending(receiver, gate, size=10) as sent:
        sent.courier.add(orders)
        await sent.until_ended(10)
    dead = [shipment.id for shipment in sent.ended if isinstance(shipment.answer, Undeliverable)]
    assert dead == [bad]
    assert [len(request) for request in receiver.requests] == [10] + 10 * [1]


async def test_a_batch_answered_409_spares_those_that_the_receiver_never_saw() -> None:
    orders = shipments(3)
    orders[0].attempts.maybe_known = True
    still = TryAgain("the receiver answers 409", trouble=Trouble.STILL_AT_FIRST)
    refused = Undeliverable("the receiver answers 409")
    receiver, (_, gate) = FakeReceiver(), a_gate(size=10)

    async def send(parcels: list[Parcel]) -> list[Answer]:
        receiver.requests.append(list(parcels))
        if len(parcels) > 1:
            return [still if parcel.maybe_known else refused for parcel in parcels]
        return [takes(parcel) for parcel in parcels]

    receiver.send = send  # type: ignore[method-assign,assignment]
    async with sending(receiver, gate, size=10) as sent:
        sent.courier.add(orders)
        await sent.until_ended(3)
    assert all(isinstance(shipment.answer, Taken) for shipment in sent.ended)


@pytest.fixture
def quick_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "OPEN_SECONDS", 0.05)
    # Shorter than the second between two probes.
    monkeypatch.setattr(attempts, "LAST_PAUSE_SECONDS", 0.1)


@pytest.mark.usefixtures("quick_breaker")
async def test_an_order_that_always_fails_does_not_keep_the_breaker_from_closing() -> None:
    unreached = TryAgain("refused", unknown=False, trouble=Trouble.CONNECTION_REFUSED)
    bad, good = shipments(2)
    receiver, (_, gate) = FakeReceiver(lambda _: unreached), a_gate()
    async with sending(receiver, gate, concurrency=1) as sent:
        sent.courier.add([bad])
        await receiver.seen(5)
        receiver.rule = lambda parcel: FAILED if parcel.order.id == bad.id else takes(parcel)
        sent.courier.add([good])
        await sent.until_ended(1)
    assert sent.ended == [good]


@pytest.mark.usefixtures("quick_breaker")
async def test_a_probe_that_the_receiver_answers_409_is_an_attempt() -> None:
    unreached = TryAgain("refused", unknown=False, trouble=Trouble.CONNECTION_REFUSED)
    still = TryAgain("the receiver answers 409", trouble=Trouble.STILL_AT_FIRST)
    (order,) = shipments(1)
    receiver, (_, gate) = FakeReceiver(lambda _: unreached), a_gate()
    async with sending(receiver, gate, concurrency=1) as sent:
        sent.courier.add([order])
        await receiver.seen(5)
        receiver.rule = lambda _: still
        await sent.until_ended(1)
    assert isinstance(order.answer, Undeliverable)
    assert len(receiver.requests) == MOST_ATTEMPTS


async def test_five_refused_connections_stop_attempts_and_limit_the_drain() -> None:
    unreached = TryAgain("refused", unknown=False, trouble=Trouble.CONNECTION_REFUSED)
    receiver, (control, gate) = FakeReceiver(lambda _: unreached), a_gate()
    async with sending(receiver, gate, concurrency=1) as sent:
        sent.courier.add(shipments(50))
        async with asyncio.timeout(10):
            while gate.takes:
                await asyncio.sleep(0.001)
        sent_by_then = len(receiver.requests)
        assert sent_by_then == 5
        assert control.reason == "receiver"
        assert control.resumes_at is not None
        assert 25 < control.resumes_at - time.monotonic() <= 30
        await asyncio.sleep(0.3)
    assert len(receiver.requests) == sent_by_then


async def test_a_defect_of_the_receiver_ends_the_courier_with_its_error() -> None:
    receiver, (_, gate) = FakeReceiver(), a_gate()

    async def send(parcels: list[Parcel]) -> list[Answer]:
        raise RuntimeError("a defect")

    receiver.send = send  # type: ignore[method-assign,assignment]
    async with sending(receiver, gate) as sent:
        sent.courier.add(shipments(1))
        with pytest.raises(RuntimeError, match="a defect"):
            await asyncio.wait_for(asyncio.shield(sent.task), 10)


async def test_attempts_stay_within_the_rate_in_any_second() -> None:
    receiver, (_, gate) = FakeReceiver(), a_gate(rate=200)
    async with sending(receiver, gate) as sent:
        sent.courier.add(shipments(500))
        await sent.until_ended(450)
    seen = receiver.seen_at
    assert max(sum(at <= other < at + 1 for other in seen) for at in seen) <= 200
