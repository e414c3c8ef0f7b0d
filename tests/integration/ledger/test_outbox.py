"""The outbox and its relay, on each kind of database."""

import asyncio
import math
import time
from collections.abc import Sequence

import pytest

from consumer.drain_control import DrainControl
from consumer.relay import Relay
from flashsale.broker import Delivery, EmbeddedBroker, Topology
from flashsale.broker.topology import Binding, Queue
from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale
from flashsale.ledger import Effects, Ledger, Unsent
from flashsale.messages.events import OrderEvent, decode_event
from flashsale.observability.consumer_metrics import ConsumerMetrics
from tests.conftest import an_order, draining
from tests.database import event_ids, execute, rows

NOW = 1_800_000_000.0
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Died(Exception):
    """Stands for the end of the process."""


async def sell(ledger: Ledger, count: int, now: float = NOW, stock: int = 1000) -> list[Order]:
    if not await ledger.sales():
        await ledger.create_sale(Sale("tv", stock))
    orders = [an_order() for _ in range(count)]
    async with draining(ledger) as sink:
        await sink.sell(orders, now)
    return orders


class Sender:
    """Takes events as a broker would; refuses those after the first `most`."""

    def __init__(self, most: int = 10**9) -> None:
        self.most = most
        self.sent: list[OrderEvent] = []

    async def __call__(self, unsent: Sequence[Unsent]) -> Sequence[str]:
        taken = [event for event, _ in unsent[: self.most - len(self.sent)]]
        self.sent += taken
        return [event.event_id for event in taken]


async def test_every_decided_order_is_one_event(ledger: Ledger) -> None:
    orders = await sell(ledger, 3, stock=2)
    sender = Sender()
    relayed = await ledger.outbox.relay(10, math.inf, sender)
    assert (relayed.claimed, relayed.sent, relayed.oldest) == (3, 3, NOW)
    found = {event.order_id: event for event in sender.sent}
    assert set(found) == {order.id for order in orders}
    ids = {event.event_id for event in sender.sent}
    assert len(ids) == 3
    assert not ids & found.keys(), "an event has an id of its own"
    assert sorted(event.topic for event in sender.sent) == [
        "order.confirmed.tv",
        "order.confirmed.tv",
        "order.rejected.tv",
    ]
    first = found[OrderId(orders[0].id)]
    assert (first.customer_id, first.quantity) == (orders[0].customer_id, 1)
    assert (first.accepted_at, first.decided_at) == (orders[0].accepted_at, NOW)
    again = await ledger.outbox.relay(10, math.inf, sender)
    assert (again.claimed, again.sent, again.oldest) == (0, 0, None)


async def test_the_event_of_a_traced_order_has_its_traceparent(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 1000))
    first, traced, last = (an_order() for _ in range(3))
    async with draining(ledger) as sink:
        await sink.sell([first, traced], NOW, traceparents={traced.id: TRACEPARENT})
        await sink.sell([last], NOW)
    found: dict[str, str | None] = {}

    async def send(unsent: Sequence[Unsent]) -> Sequence[str]:
        found.update({event.order_id: traceparent for event, traceparent in unsent})
        return [event.event_id for event, _ in unsent]

    await ledger.outbox.relay(10, math.inf, send)
    assert found == {first.id: None, traced.id: TRACEPARENT, last.id: None}


async def test_unconfirmed_events_are_sent_later_oldest_first(ledger: Ledger) -> None:
    early = await sell(ledger, 5, now=NOW)
    await sell(ledger, 5, now=NOW + 1)
    refusing = Sender(most=3)
    assert (await ledger.outbox.relay(10, math.inf, refusing)).sent == 3
    assert {event.order_id for event in refusing.sent} <= {order.id for order in early}
    sender = Sender()
    assert (await ledger.outbox.relay(4, math.inf, sender)).sent == 4
    assert (await ledger.outbox.relay(10, math.inf, sender)).sent == 3
    assert len({event.event_id for event in (*refusing.sent, *sender.sent)}) == 10


async def test_a_crash_between_publish_and_mark_sends_an_event_again(ledger: Ledger) -> None:
    await sell(ledger, 5)
    lost = Sender()

    async def die(events: Sequence[Unsent]) -> Sequence[str]:
        await lost(events)
        raise Died

    with pytest.raises(Died):
        await ledger.outbox.relay(10, math.inf, die)
    sender = Sender()
    await ledger.outbox.relay(10, math.inf, sender)
    assert sender.sent == lost.sent, "the same events, under the same ids"


async def test_two_relays_share_the_outbox(ledger: Ledger, database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("one process, one relay")
    await sell(ledger, 20)
    both = asyncio.Barrier(2)
    senders = [Sender(), Sender()]

    def meeting(sender: Sender):  # type: ignore[no-untyped-def]
        async def send(events: Sequence[Unsent]) -> Sequence[str]:
            await both.wait()  # the other has claimed its part, and neither has let go
            return await sender(events)

        return send

    await asyncio.gather(
        *(ledger.outbox.relay(10, math.inf, meeting(sender)) for sender in senders)
    )
    sent = [event.event_id for sender in senders for event in sender.sent]
    assert len(sent) == len(set(sent)) == 20


async def test_old_events_are_pruned_and_the_books_still_balance(ledger: Ledger) -> None:
    await sell(ledger, 5, now=NOW)
    await sell(ledger, 5, now=NOW + 100)
    assert await ledger.outbox.prune(NOW + 50) == 0, "not sent yet"
    await ledger.outbox.relay(10, math.inf, Sender())
    assert await ledger.outbox.prune(NOW + 50) == 5
    assert await ledger.outbox.prune(NOW + 50) == 0
    assert (await ledger.audit()).wrong == ()
    assert await ledger.outbox.prune(NOW + 200) == 5
    assert (await ledger.audit()).wrong == ()


async def test_the_audit_finds_a_missing_event_after_a_prune(
    ledger: Ledger, database_url: str
) -> None:
    early = await sell(ledger, 5, now=NOW)
    await sell(ledger, 5, now=NOW + 100)
    await ledger.outbox.relay(4, math.inf, Sender())
    assert await ledger.outbox.prune(NOW + 50) == 4
    await execute(database_url, f"DELETE FROM outbox WHERE created_at = {NOW}")
    assert (await ledger.audit()).wrong == (
        "outbox: 4 old events were pruned, 5 old orders have none",
    )
    assert early


async def test_events_that_services_have_not_done_are_sent_again(
    ledger: Ledger, database_url: str
) -> None:
    orders = await sell(ledger, 3)
    await ledger.outbox.relay(10, math.inf, Sender())
    events = await event_ids(database_url)
    done = [Effects(events[order.id], order.id) for order in orders]
    for service in ("mail", "ranking"):
        await ledger.effects.take_effect(service, done[:1])
    await ledger.effects.take_effect("mail", done[1:2])
    assert await ledger.outbox.send_again(services=2) == 2
    sender = Sender()
    await ledger.outbox.relay(10, math.inf, sender)
    assert {event.order_id for event in sender.sent} == {orders[1].id, orders[2].id}


async def test_an_effect_is_written_with_its_order_id(ledger: Ledger, database_url: str) -> None:
    first, second = (Effects(f"event {number}", f"order {number}") for number in (1, 2))
    assert await ledger.effects.take_effect("mail", [second, first, second]) == 2
    assert await ledger.effects.take_effect("mail", [first]) == 0
    assert await ledger.effects.done("mail", ["event 1", "order 1"]) == {"event 1"}
    found = await rows(database_url, "SELECT event_id, order_id FROM effects ORDER BY event_id")
    assert [tuple(row) for row in found] == [("event 1", "order 1"), ("event 2", "order 2")]


async def test_the_relay_wakes_at_once_and_waits_while_orders_wait(
    ledger: Ledger, topology: Topology
) -> None:
    topology += Topology(
        (), (Queue("heard"),), (Binding(topology.events, "heard", "order.confirmed.#"),)
    )
    broker = EmbeddedBroker(topology)
    metrics = ConsumerMetrics()
    relay = Relay(
        outbox=ledger.outbox,
        broker=broker,
        exchange=topology.events,
        control=DrainControl(2000),
        keep_seconds=3600,
        metrics=metrics,
    )
    stop = asyncio.Event()
    before = await sell(ledger, 700, now=time.time() - 60)
    running = asyncio.create_task(relay.run(stop))
    try:
        async with broker, broker.consume("heard", 10_000) as deliveries:
            heard: list[Delivery] = []

            async def hear(count: int, seconds: float) -> None:
                async with asyncio.timeout(seconds):
                    while len(heard) < count:
                        await deliveries.wait()
                        heard.extend(deliveries.take(1000))

            await hear(700, seconds=10)  # by polling
            more = await sell(ledger, 5, now=time.time())
            relay.wake(behind=False)
            await hear(705, seconds=10)  # by polling it would have taken longer
            held = await sell(ledger, 5, now=time.time())
            relay.wake(behind=True)  # orders wait: events do, too
            with pytest.raises(TimeoutError):
                await hear(706, seconds=0.5)
            relay.wake(behind=False)
            await hear(710, seconds=10)
            more += held
    finally:
        stop.set()
        await running
    events = [decode_event(delivery.body) for delivery in heard]
    assert {event.order_id for event in events} == {order.id for order in (*before, *more)}
    assert all(d.message_id == e.event_id for d, e in zip(heard, events, strict=True))
    assert metrics.relayed._value.get() == 710
