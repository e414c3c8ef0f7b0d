"""Match publisher confirms to futures."""

import asyncio

import pytest

from flashsale.broker import BrokerUnavailable, Counts, QueueFull, Unroutable
from flashsale.broker.rabbitmq.confirms import Confirms


async def confirms(count: int, timeout: float = 2.0) -> tuple[Confirms, list[asyncio.Future[None]]]:
    made = Confirms(timeout, asyncio.get_running_loop().create_future, Counts())
    return made, [made.add(now=float(n), message_id=f"m{n}") for n in range(1, count + 1)]


async def test_acks_confirm_messages_one_by_one_in_any_order() -> None:
    tracker, futures = await confirms(3)
    tracker.ack(2, multiple=False)
    assert [f.done() for f in futures] == [False, True, False]
    tracker.ack(3, multiple=False)
    tracker.ack(1, multiple=False)
    assert all(f.result() is None for f in futures)
    assert len(tracker) == 0


async def test_a_multiple_ack_or_nack_answers_for_all_earlier_messages() -> None:
    tracker, futures = await confirms(5)
    tracker.ack(2, multiple=True)
    tracker.nack(4, multiple=True)
    assert [f.done() for f in futures] == [True, True, True, True, False]
    for refused in futures[2:4]:
        with pytest.raises(QueueFull):
            refused.result()
    tracker.ack(5, multiple=True)


async def test_a_returned_message_is_unroutable_and_its_ack_is_ignored() -> None:
    tracker, futures = await confirms(2)
    tracker.returned("m2", "NO_ROUTE")
    tracker.ack(2, multiple=True)
    assert futures[0].result() is None
    with pytest.raises(Unroutable, match="NO_ROUTE"):
        futures[1].result()


async def test_a_message_past_its_deadline_is_unknown_and_still_in_flight() -> None:
    tracker, futures = await confirms(3, timeout=2.0)
    assert tracker.expire(now=3.5) == 1
    with pytest.raises(BrokerUnavailable, match="in time"):
        futures[0].result()
    assert not futures[1].done()
    assert len(tracker) == 3
    tracker.ack(1, multiple=False)  # late: nobody waits, nothing breaks
    assert len(tracker) == 2
    assert tracker.expire(now=10.0) == 2
    assert tracker.expire(now=11.0) == 0
    for future in futures[1:]:
        assert isinstance(future.exception(), BrokerUnavailable)


async def test_the_end_of_the_channel_fails_all_messages_in_flight() -> None:
    tracker, futures = await confirms(2)
    tracker.fail_all("gone")
    for future in futures:
        with pytest.raises(BrokerUnavailable, match="gone"):
            future.result()
    assert len(tracker) == 0


async def test_confirms_for_unknown_tags_and_cancelled_waiters_are_ignored() -> None:
    tracker, futures = await confirms(1)
    futures[0].cancel()
    tracker.ack(7, multiple=False)
    tracker.ack(1, multiple=False)
    assert len(tracker) == 0
