"""What RabbitMQ does not let a user do is told apart from what it has of that name."""

import secrets

import pytest

from flashsale.broker import AccessRefused, RabbitMQ, Topology, TopologyMismatch, sale_topology
from flashsale.runtime.process import advice
from loadtest.servers import RabbitNode


async def refusal(url: str, topology: Topology) -> str:
    """Return the advice of a process that may not connect to the URL or not declare."""
    with pytest.raises(AccessRefused) as caught:
        async with RabbitMQ(url, topology):
            pass
    told = advice(caught.value)
    assert told.startswith("the broker at FLASHSALE_BROKER_URL refuses: ")
    assert "delete it" not in told
    return told


async def test_each_missing_right_is_told_with_advice_that_helps(
    rabbit_node: RabbitNode, topology: Topology
) -> None:
    user = f"shop-{secrets.token_hex(4)}"
    guest, shop = "guest:guest@", f"{user}:right@"
    url = rabbit_node.url.replace(guest, shop)

    assert "check the user and the password" in await refusal(url, topology)
    rabbit_node.control("add_user", user, "right")
    assert "check the user and the password" in await refusal(url.replace("right", "x"), topology)
    assert "has no rights there: `rabbitmqctl set_permissions" in await refusal(url, topology)
    assert "create or start this virtual host" in await refusal(f"{url}elsewhere", topology)

    # It may publish and read, and a colleague with more rights has declared the queues.
    async with RabbitMQ(rabbit_node.url, topology):
        pass
    rabbit_node.control("set_permissions", user, "^$", ".*", ".*")
    told = await refusal(url, topology)
    assert f"access to exchange '{topology.orders}'" in told
    assert "nothing has to be deleted" in told

    # The smallest set that docs/deploy.md has.
    prefix = topology.orders.removesuffix("sale.orders").replace(".", "\\.")
    rights = (
        f"^({prefix}|amq\\.gen)",
        f"^({prefix}|amq\\.(gen|default))",
        f"^({prefix}|amq\\.gen)",
    )
    rabbit_node.control("set_permissions", user, *rights)
    async with RabbitMQ(url, topology) as broker, broker.subscribe(topology.outcomes):
        await broker.publish(topology.orders, "order", b"order", message_id="1")
        await broker.publish("", topology.dead_orders, b"dead", message_id="1")
        async with broker.consume(topology.orders, 1) as deliveries:
            await deliveries.wait()

    both = f"{url},{rabbit_node.url.replace(guest, f'{user}:x@')}"
    with pytest.raises(AccessRefused):
        async with RabbitMQ(both.replace("right", "y"), topology):
            pass


async def test_another_queue_of_that_name_is_to_be_deleted(
    rabbit_url: str, topology: Topology
) -> None:
    prefix = topology.orders.removesuffix("sale.orders")
    async with RabbitMQ(rabbit_url, sale_topology(prefix, 10, "quorum")):
        pass
    with pytest.raises(TopologyMismatch) as caught:
        async with RabbitMQ(rabbit_url, topology):
            pass
    assert "delete it there" in advice(caught.value)
