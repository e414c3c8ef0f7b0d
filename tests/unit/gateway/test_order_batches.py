"""Announcements bring many orders at once: they are remembered as if each came alone."""

from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import DeliveryState, Status
from flashsale.messages.announcements import Decision, Taken
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.orders import KnownOrders
from gateway.state.queue_position import QueuePosition

IDS = [f"{number:032x}" for number in range(6)]

taken = st.builds(Taken, st.sampled_from(IDS), st.just("tv"), st.integers(1, 2))
decisions = st.builds(
    Decision,
    st.sampled_from(IDS),
    st.sampled_from([status for status in Status if status is not Status.QUEUED]),
    st.none(),
    st.just("tv"),
    st.integers(1, 2),
    delivery=st.sampled_from([None, None, *DeliveryState]),
)
batches = st.lists(
    st.lists(taken, min_size=1, max_size=4) | st.lists(decisions, min_size=1, max_size=4),
    max_size=12,
)


class Gateway:
    """The memory of a gateway."""

    def __init__(self, most: int = 100) -> None:
        self.position = QueuePosition(KnownDrain(100))
        self.orders = KnownOrders(self.position, most, 60)
        self.decided = 0

    def state(self) -> object:
        known = [self.orders.get(OrderId(one)) for one in IDS]
        return (
            [
                order and (order.status, order.number, order.quantity, order.delivery)
                for order in known
            ],
            self.orders.oldest_waiting(9, than_seconds=-1),
            self.orders.open.all(),
            (self.position.waiting, self.position.served, self.position.unannounced),
            self.decided,
        )


@given(batches)
def test_a_batch_is_remembered_as_its_orders_one_by_one(
    heard: list[list[Taken] | list[Decision]],
) -> None:
    together, alone = Gateway(), Gateway()
    for batch in heard:
        together.orders.add_all_taken(one for one in batch if isinstance(one, Taken))
        together.decided += together.orders.add_all_decided(
            one for one in batch if isinstance(one, Decision)
        )
        for one in batch:
            if isinstance(one, Taken):
                alone.orders.add_taken(OrderId(one.id), one.sku, one.quantity, one.customer_id)
            else:
                news = one.delivery is None or not alone.orders.is_decided(one.id)
                alone.decided += news
                alone.orders.add_decided(one)
    assert together.state() == alone.state()


def test_a_batch_makes_a_full_memory_forget_as_many() -> None:
    gateway = Gateway(most=4)
    gateway.orders.add_all_taken(Taken(one, "tv", 1) for one in IDS[:4])
    gateway.orders.add_all_decided([Decision(IDS[0], Status.CONFIRMED, None, "tv", 1)])
    gateway.orders.add_all_taken(Taken(one, "tv", 1) for one in IDS[4:])
    assert len(gateway.orders) == 4
    assert gateway.orders.oldest_waiting(9, than_seconds=-1) == IDS[2:]
    # One that was served is forgotten, and one that waits keeps its place in the line.
    assert (gateway.position.waiting, gateway.position.unannounced) == (4, 1)
