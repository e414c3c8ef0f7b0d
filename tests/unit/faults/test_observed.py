"""The history that an observed drain writes."""

import asyncio
from collections import deque
from collections.abc import Sequence
from unittest.mock import Mock

import pytest

from consumer.release_gate import ReleaseLog
from flashsale.audit.history import Acked, Observation
from flashsale.broker import Delivery
from flashsale.broker.rabbitmq.consumer import RabbitMQDeliveries
from flashsale.ledger.sql.sink import SqlSink
from tests.faults.observed import write_down

WATCHED = (
    (ReleaseLog, "add"),
    (SqlSink, "sell"),
    (SqlSink, "fail"),
    (RabbitMQDeliveries, "take"),
    (RabbitMQDeliveries, "ack_through"),
)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Observation]:
    for owner, name in WATCHED:
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back at the end
    seen: list[Observation] = []
    write_down(seen.append)
    return seen


async def connection(*message_ids: str) -> tuple[RabbitMQDeliveries, Sequence[Delivery]]:
    """Open a consumer that has these messages unacknowledged."""
    deliveries = RabbitMQDeliveries(Mock(closed=asyncio.get_running_loop().create_future()))
    deliveries._at_hand = deque(
        Delivery(number, b"", message_id) for number, message_id in enumerate(message_ids, 1)
    )
    return deliveries, deliveries.take(len(message_ids))


def acknowledged(seen: list[Observation]) -> list[list[str]]:
    return [list(one.orders) for one in seen if isinstance(one, Acked)]


async def test_an_observed_ack_covers_the_earlier_deliveries_of_its_connection(
    seen: list[Observation],
) -> None:
    deliveries, taken = await connection("a", "b", "c")
    deliveries.ack_through(taken[1])
    deliveries.ack_through(taken[2])
    assert acknowledged(seen) == [["a", "b"], ["c"]]


async def test_an_observed_ack_does_not_cover_deliveries_of_an_older_connection(
    seen: list[Observation],
) -> None:
    await connection("a", "b", "c")
    again, taken = await connection("c", "a", "b")
    again.ack_through(taken[0])
    assert acknowledged(seen) == [["c"]]
