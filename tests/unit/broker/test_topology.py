"""The topology that is declared on the broker."""

import pytest

from flashsale.broker import Queue, sale_topology
from flashsale.broker.rabbitmq.arguments import queue_arguments
from services.installed import chosen_services
from services.queues import services_topology


def queues(queue_type: str) -> tuple[Queue, ...]:
    sale = sale_topology("a.", 10, queue_type)  # type: ignore[arg-type]
    services = services_topology("a.", sale.events, queue_type, chosen_services("all"))  # type: ignore[arg-type]
    return (sale + services).queues


def test_on_a_cluster_every_queue_that_holds_orders_or_events_is_on_several_nodes() -> None:
    declared = {queue.name: queue_arguments(queue) for queue in queues("quorum")}
    assert {"a.sale.orders", "a.sale.orders.dead", "a.mail", "a.mail.dead"} <= set(declared)
    assert {arguments["x-queue-type"] for arguments in declared.values()} == {"quorum"}


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_no_quorum_queue_drops_redelivered_messages(queue_type: str) -> None:
    # 3.10 drops a message at its first redelivery for -1; the default of 4.x is 20.
    limits = [
        queue_arguments(queue)["x-delivery-limit"]
        for queue in queues(queue_type)
        if queue_arguments(queue)["x-queue-type"] == "quorum"
    ]
    assert limits
    assert all(int(limit) > 1_000_000_000 for limit in limits)


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_orders_that_the_broker_would_drop_go_to_a_queue_that_is_drained_too(
    queue_type: str,
) -> None:
    arguments = queue_arguments(queues(queue_type)[0])
    assert arguments["x-dead-letter-routing-key"] == "a.sale.orders.spilled"
    assert arguments.get("x-dead-letter-strategy") == (
        "at-least-once" if queue_type == "quorum" else None
    )
