"""`flashsale migrate` makes classic queues of version 0.1.0 quorum queues, with their messages."""

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from flashsale.broker import (
    Broker,
    BrokerError,
    QueueInUse,
    QueueType,
    Topology,
    sale_topology,
    upgrade_queues,
)
from flashsale.broker.rabbitmq.queues import replacement
from flashsale.broker.rabbitmq.queues.replacement import _Replacement
from services.installed import chosen_services
from services.queues import services_topology
from tests.conftest import unique
from tests.integration.broker.test_queue_change import opened

MESSAGES = 700  # more than are moved at once


@pytest.fixture
def prefix() -> str:
    return unique("replaced") + "."


def topology(prefix: str, queue_type: QueueType) -> Topology:
    sale = sale_topology(prefix, 1000, queue_type)
    return sale + services_topology(prefix, sale.events, queue_type, chosen_services("all"))


async def publish(broker: Broker, queue: str, count: int) -> list[str]:
    ids = [unique("m") for _ in range(count)]
    for message_id in ids:
        await broker.publish(
            "", queue, message_id.encode(), message_id=message_id, headers={"attempts": 3}
        )
    return ids


async def received(broker: Broker, queue: str, count: int) -> list[str]:
    ids: list[str] = []
    async with broker.consume(queue, 1000) as deliveries:
        while len(ids) < count:
            await deliveries.wait()
            for delivery in deliveries.take(1000):
                assert delivery.headers["attempts"] == 3
                assert delivery.body == delivery.message_id.encode()
                ids.append(delivery.message_id)
                deliveries.ack(delivery)
    return ids


async def test_queues_without_a_limit_are_replaced_with_their_messages(
    rabbit_url: str, prefix: str
) -> None:
    old, new = topology(prefix, "classic"), topology(prefix, "quorum")
    dead, mail = old.dead_orders, f"{prefix}mail"
    async with opened(rabbit_url, old) as broker:
        sent = {queue: await publish(broker, queue, MESSAGES) for queue in (dead, mail)}
    replaced = await upgrade_queues(rabbit_url, new)
    assert set(replaced) == {
        queue.name for queue in new.queues if queue.max_length is None and not queue.delay_seconds
    }
    assert await upgrade_queues(rabbit_url, new) == []
    unlimited = replace(new, queues=tuple(q for q in new.queues if q.max_length is None))
    async with opened(rabbit_url, replace(unlimited, bindings=())) as broker:  # no mismatch
        for queue, ids in sent.items():
            assert await received(broker, queue, MESSAGES) == ids
            with pytest.raises(BrokerError, match="NOT_FOUND"):
                await broker.depth(f"{queue}.moving")


async def test_a_replaced_queue_is_bound_as_before(rabbit_url: str, prefix: str) -> None:
    old, new = topology(prefix, "classic"), topology(prefix, "quorum")
    async with opened(rabbit_url, old):
        pass
    await upgrade_queues(rabbit_url, new)
    async with opened(rabbit_url, new) as broker:
        await broker.publish(new.events, "order.confirmed.tv", b"event", message_id="event")
        assert (await broker.depth(f"{prefix}mail")).ready == 1


async def test_processes_of_the_new_version_work_with_the_old_queues(
    rabbit_url: str, prefix: str
) -> None:
    old, new = topology(prefix, "classic"), topology(prefix, "quorum")
    async with opened(rabbit_url, old), opened(rabbit_url, new) as broker:
        ids = await publish(broker, new.dead_orders, 3)
        assert await received(broker, new.dead_orders, 3) == ids


@pytest.mark.parametrize("user", ["sale.orders", "mail"])
async def test_queues_in_use_are_not_replaced(rabbit_url: str, prefix: str, user: str) -> None:
    old, new = topology(prefix, "classic"), topology(prefix, "quorum")
    async with (
        opened(rabbit_url, old) as broker,
        broker.consume(f"{prefix}{user}", 1),
    ):
        with pytest.raises(QueueInUse, match=rf"{user} is being consumed"):
            await upgrade_queues(rabbit_url, new)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize(
    ("step", "calls"),
    [("_publish", 1), ("_publish", 2), ("_Replacement._deleted", 1), ("_publish", 3)],
    ids=["while emptied", "before it is deleted", "after it is deleted", "while filled"],
)
async def test_an_interrupted_replacement_is_completed(
    rabbit_url: str, prefix: str, step: str, calls: int
) -> None:
    old, new = topology(prefix, "classic"), topology(prefix, "quorum")
    async with opened(rabbit_url, old) as broker:
        ids = await publish(broker, old.dead_orders, MESSAGES)
    module = "flashsale.broker.rabbitmq.queues.replacement"
    done = _Replacement._deleted if "." in step else replacement._publish
    left = calls

    async def interrupted(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        answer = await done(*arguments)
        if not left:
            raise Interrupted
        return answer

    with patch(f"{module}.{step}", interrupted), pytest.raises(Interrupted):
        await upgrade_queues(rabbit_url, new)
    await upgrade_queues(rabbit_url, new)
    async with opened(rabbit_url, new) as broker:
        count = (await broker.depth(new.dead_orders)).ready
        found = await received(broker, new.dead_orders, count)
    assert set(found) == set(ids)
    assert len(found) - len(ids) <= 500  # those in hand when it was interrupted
