"""The adapters of the benchmark of brokers keep one contract on real servers, for a moment each."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from flashsale.broker import QueueType
from loadtest import watchdog
from loadtest.bench.brokers.adapters.rabbitmq import rabbitmq_queue
from loadtest.bench.brokers.bound import orders_past_bound
from loadtest.bench.brokers.closed_loop import closed_loop, empty, fill, order
from loadtest.bench.brokers.contenders import CONTENDERS, Contender, Running, contender
from loadtest.bench.brokers.fsyncs import fsyncs_per_1000
from loadtest.bench.brokers.kill import kill
from loadtest.bench.brokers.port import Full, OpenQueue, OrderQueue, Taken
from loadtest.bench.brokers.spike import spike
from loadtest.servers import RabbitNode, ServerDidNotStart, ServerNotFound
from tests.conftest import unique

BOUND = 50
OVERSHOOT = 64
"""A quorum queue may take what is in flight beyond its bound."""
QUEUE_TYPES: dict[str, QueueType] = {"rabbitmq_classic": "classic", "rabbitmq_quorum": "quorum"}

each = pytest.mark.parametrize("one", CONTENDERS, ids=lambda one: one.name)
each_bounded = pytest.mark.parametrize(
    "one", [one for one in CONTENDERS if one.bounded], ids=lambda one: one.name
)
each_quick_to_start = pytest.mark.parametrize("name", ["redis_always", "nats_default"])


@pytest.fixture
def running(one: Contender, request: pytest.FixtureRequest) -> Iterator[Running]:
    with ExitStack() as stack:
        if one.name.startswith("rabbitmq"):
            node: RabbitNode = request.getfixturevalue("rabbit_node")
            yield Running(node, node.url)
            return
        try:
            started = stack.enter_context(one.run())
        except ServerNotFound as error:
            pytest.skip(str(error))
        yield started


@pytest.fixture
async def queue(one: Contender, running: Running) -> AsyncIterator[OrderQueue]:
    async with opening(one)(running.address, BOUND) as opened:
        yield opened


def opening(one: Contender) -> OpenQueue:
    """Opens a queue that no other test uses."""
    if one.name in QUEUE_TYPES:
        return rabbitmq_queue(QUEUE_TYPES[one.name], prefix=f"{unique('bench')}.")
    return one.open


async def take_some(queue: OrderQueue, count: int) -> list[Taken]:
    async with asyncio.timeout(60):
        while not (taken := await queue.take(count)):
            await asyncio.sleep(0.01)
    return taken


@each
async def test_orders_come_out_in_order_and_are_gone_when_acknowledged(queue: OrderQueue) -> None:
    bodies = [order(number) for number in range(20)]
    for body in bodies[:5]:
        await queue.publish(body)
    await asyncio.gather(*(queue.publish(body) for body in bodies[5:]))
    async with asyncio.timeout(60):
        while await queue.depth() != 20:
            await asyncio.sleep(0.05)
    came: list[bytes] = []
    while len(came) < 20:
        taken = await take_some(queue, 7)
        assert 0 < len(taken) <= 7
        came += [one.body for one in taken]
        await queue.ack(taken)
    assert came[:5] == bodies[:5]
    assert sorted(came) == bodies
    assert await queue.take(7) == []
    async with asyncio.timeout(60):
        while await queue.depth():
            await asyncio.sleep(0.05)


@each_bounded
async def test_a_full_queue_refuses_and_takes_again_when_it_is_empty(
    one: Contender, queue: OrderQueue
) -> None:
    most = BOUND + (OVERSHOOT if one.name in ("rabbitmq_quorum", "postgresql_rows") else 0)
    async with asyncio.timeout(60):
        assert BOUND <= await fill(queue) <= most
        with pytest.raises(Full):
            await queue.publish(order(0))
        await empty(queue)
        await published_again(queue)


async def published_again(queue: OrderQueue) -> None:
    while True:
        try:
            return await queue.publish(order(1))
        except Full:  # the last acknowledgements are on their way
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("one", [contender("redis_everysec")], ids=lambda one: one.name)
async def test_a_closed_loop_and_a_spike_count_what_was_confirmed(
    queue: OrderQueue, running: Running
) -> None:
    found = await spike(queue, seconds=0.3)
    assert found.accepted + found.refused + found.unanswered == 1_500
    assert (found.missing, found.unanswered) == (0, 0)
    assert 0 < found.p50_ms <= found.p99_ms
    await fill(queue)
    full = await closed_loop(queue, running.server, seconds=0.3, warm_up=0.1)
    assert (full.confirmed, full.refused > 100) == (0, True)


@pytest.mark.parametrize("one", [contender("redis_always")], ids=lambda one: one.name)
async def test_two_publishers_do_not_pass_the_bound_of_a_script(
    one: Contender, running: Running
) -> None:
    assert await orders_past_bound(one, running) == 0


@each_quick_to_start
async def test_a_killed_server_is_back_with_what_it_has_confirmed(name: str) -> None:
    try:
        with contender(name).run() as running:
            found = await kill(contender(name), running, seconds=0.3)
    except ServerNotFound as error:
        pytest.skip(str(error))
    assert found.confirmed > 100
    assert found.lost == 0
    assert found.back_after_seconds is not None


async def test_syncs_are_counted_and_tell_a_server_that_syncs_from_one_that_does_not() -> None:
    try:
        always = await fsyncs_per_1000(contender("redis_always"), seconds=0.3)
        default = await fsyncs_per_1000(contender("nats_default"), seconds=0.3)
    except (ServerNotFound, ServerDidNotStart) as error:
        pytest.skip(f"syncs can't be counted here: {error}")
    assert always > 1 > default


@pytest.mark.parametrize("one", [contender("redis_always")], ids=lambda one: one.name)
def test_a_redis_keeps_the_environment_by_which_the_watchdog_knows_it(running: Running) -> None:
    [process] = running.server.processes()
    assert watchdog.MARKS in process.environ()
