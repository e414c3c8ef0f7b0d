"""The benchmark of brokers, without servers."""

import asyncio
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from flashsale.advice.figures import COLUMNS, BrokerFigures, row
from loadtest.bench.brokers.batching import Batcher
from loadtest.bench.brokers.chart import draw
from loadtest.bench.brokers.closed_loop import ClosedLoop, order
from loadtest.bench.brokers.contenders import CONTENDERS, contender
from loadtest.bench.brokers.kill import Killed
from loadtest.bench.brokers.port import Full, Lost
from loadtest.bench.brokers.results import markdown, summarized
from loadtest.bench.brokers.spike import Spike
from loadtest.bench.brokers.turns import Once, Turn


def a_turn(rate: int, bounded: bool = True) -> Turn:
    loop = ClosedLoop(2 * rate, 0, 2.0, 1.0, 1000 / rate, 5.0)
    full = ClosedLoop(0, 3 * rate, 1.0, 1.0, 2.0, 3.0)
    spike = Spike(10_000, 10_000, 0, 0, 1.5, 3_000 / rate)
    return Turn(loop, spike, full if bounded else None, rate // 100 if bounded else None)


@pytest.fixture
def figures() -> dict[str, BrokerFigures]:
    turns = {
        one.name: [a_turn(rate, one.bounded) for rate in (1_000, 4_000, 3_000)]
        for one in CONTENDERS
    }
    once = {one.name: Once(Killed(500, 2, 0.754), 15.625) for one in CONTENDERS}
    # The version is what an installed program prints.
    chosen = [replace(one, version=lambda: "1.2") for one in CONTENDERS]
    return summarized(chosen, turns, once)


def test_figures_are_medians_and_the_worst_overshoot(figures: dict[str, BrokerFigures]) -> None:
    found = figures["rabbitmq_quorum"]
    assert (found.confirmed_per_second, found.refused_per_second) == (3_000, 9_000)
    assert found.p99_ms_at_5000 == 1.0
    assert found.past_bound == 40
    assert (found.lost_by_kill, found.back_after_kill_seconds) == (2, 0.75)
    assert found.fsyncs_per_1000 == 15.62


def test_a_queue_without_a_bound_has_no_refusals(figures: dict[str, BrokerFigures]) -> None:
    assert figures["beanstalkd"].refused_per_second is None
    assert figures["beanstalkd"].past_bound is None
    assert "no bound" in row(figures["beanstalkd"])


def test_the_file_has_the_promised_keys_for_each_queue(figures: dict[str, BrokerFigures]) -> None:
    written = msgspec.json.decode(msgspec.json.encode(figures))
    assert set(written) == {one.name for one in CONTENDERS}
    for found in written.values():
        assert {
            *("confirmed_per_second", "p99_ms_at_5000", "refused_per_second", "fsyncs_per_1000"),
            *("past_bound", "back_after_kill_seconds", "lost_by_kill", "version", "date"),
        } <= set(found)


def test_the_table_has_a_row_for_each_queue(figures: dict[str, BrokerFigures]) -> None:
    lines = markdown(figures).splitlines()
    assert len(lines) == 2 + len(CONTENDERS)
    assert {line.count(" | ") for line in lines} == {len(COLUMNS) - 1}


def test_the_picture_is_drawn(figures: dict[str, BrokerFigures], tmp_path: Path) -> None:
    draw(figures, tmp_path / "brokers.png")
    assert 10_000 < (tmp_path / "brokers.png").stat().st_size < 100_000


def test_an_order_has_200_bytes_and_begins_with_its_number() -> None:
    assert order(17).startswith(b"00000017{")
    assert len(order(17)) == len(order(99_999_999)) == 200


def test_names_are_unique() -> None:
    assert len({one.name for one in CONTENDERS}) == len(CONTENDERS)
    assert contender("redis_always").title.startswith("Redis")


async def test_a_batcher_sends_together_what_came_during_a_batch() -> None:
    sent: list[list[bytes]] = []
    first_is_sent = asyncio.Event()

    async def send(bodies: list[bytes]) -> int:
        sent.append(bodies)
        await first_is_sent.wait()
        return len(bodies)

    batcher = Batcher(send)
    first = asyncio.create_task(batcher.publish(b"1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(batcher.publish(body)) for body in (b"2", b"3")]
    await asyncio.sleep(0)
    first_is_sent.set()
    await asyncio.gather(first, *others)
    assert sent == [[b"1"], [b"2", b"3"]]


async def test_a_batcher_refuses_the_last_orders_of_a_batch_without_room() -> None:
    async def send(bodies: list[bytes]) -> int:
        return 2

    batcher = Batcher(send)
    answers = await asyncio.gather(
        *(batcher.publish(body) for body in (b"1", b"2", b"3")), return_exceptions=True
    )
    assert answers[:2] == [None, None]
    assert isinstance(answers[2], Full)


@pytest.mark.parametrize("error", [Lost("gone"), ValueError("unforeseen")])
async def test_a_batcher_fails_a_batch_with_its_error_and_goes_on(error: Exception) -> None:
    connected = False

    async def send(bodies: list[bytes]) -> int:
        if not connected:
            raise error
        return len(bodies)

    batcher = Batcher(send)
    with pytest.raises(type(error)):
        await batcher.publish(b"1")
    connected = True
    await batcher.publish(b"2")
