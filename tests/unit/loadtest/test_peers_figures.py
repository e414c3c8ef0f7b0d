import io
from pathlib import Path

import pytest

from loadtest.bench.peers.chart import draw
from loadtest.bench.peers.contestants import BARE, CONTESTANTS, DRAINING, GATEWAY
from loadtest.bench.peers.drain import DrainResult
from loadtest.bench.peers.figures import figures
from loadtest.bench.peers.intake import IntakeResult
from loadtest.bench.peers.report import print_report
from loadtest.load.closed_loop import Answers
from loadtest.load.open_loop import Outcome

PER_SECOND = {"bare": 20_000.0, "gateway": 10_000.0, "sold_out": 12_000.0, "queue_full": 8_000.0}


def a_turn(name: str, mood: float) -> IntakeResult:
    """Return a turn on a machine that is `mood` times as fast as usual."""
    rate = PER_SECOND.get(name, 2_500.0) * mood
    milliseconds = {"p50": 1.0, "p90": 2.0, "p99": 5.0, "p99.9": 7.0, "max": 9.0}
    offered = Outcome(
        sent=20_000,
        statuses={202: 16_000},
        unanswered=4_000,
        answered_per_second=4_000.0,
        seconds=4.0,
        latency_ms=milliseconds,
        late_ms=milliseconds,
        at_once=10,
        held=0,
        cpu_seconds=0.5,
    )
    return IntakeResult(Answers(round(rate * 4), rate, 3.0, 9.0), 60.0, offered)


@pytest.fixture
def rounds() -> list[dict[str, IntakeResult]]:
    names = [*(one.name for one in CONTESTANTS), "sold_out", "queue_full"]
    return [{name: a_turn(name, mood) for name in names} for mood in (1.0, 0.5, 0.8)]


@pytest.fixture
def drains() -> list[dict[str, DrainResult]]:
    even = [(step / 32, 62) for step in range(4 * 32)]
    burst = [(0.0, 2_000), *even[1:]]
    return [
        {one.name: DrainResult(even, even) for one in DRAINING},
        {one.name: DrainResult(even if one is GATEWAY else burst, even) for one in DRAINING},
    ]


def test_ratios_are_of_the_same_round_and_windows_the_worst(
    rounds: list[dict[str, IntakeResult]], drains: list[dict[str, DrainResult]]
) -> None:
    found = figures(rounds, drains)
    assert found["ratio_to_bare"] == 0.5
    assert found["ratio_to_faststream"] == found["ratio_to_aio_pika"] == 4
    assert found["accepted_per_second"] == 8_000
    assert found["refused_ratio_to_bare"] == found["queue_full_ratio_to_bare"] == 0.4
    assert found["sold_out_ratio_to_bare"] == 0.6
    assert found["accepted_per_second_at_5000"] == 4_000
    assert found["drain_worst_1s"] == found["drain_least_1s"] == 32 * 62
    assert found["celery_drain_worst_1s"] == 2_000 + 31 * 62


def test_every_contestant_has_the_same_figures(
    rounds: list[dict[str, IntakeResult]], drains: list[dict[str, DrainResult]]
) -> None:
    found = figures(rounds, drains)
    for one in CONTESTANTS:
        for name in (
            "accepted_per_second",
            "p50_ms",
            "p99_ms",
            "cpu_us_per_order",
            "p99_ms_at_5000",
        ):
            assert one.prefix + name in found
        for name in ("unpaced_per_second", "worst_1s", "least_1s", "worst_100ms"):
            assert (f"{one.prefix}drain_{name}" in found) == (one is not BARE)


def test_the_figures_of_the_peers_are_printed_and_drawn(
    rounds: list[dict[str, IntakeResult]], drains: list[dict[str, DrainResult]], tmp_path: Path
) -> None:
    found = figures(rounds, drains)
    printed = io.StringIO()
    print_report(found, "a machine", printed)
    draw(found, drains[-1], tmp_path / "peers.png")
    rows = [" ".join(line.split()) for line in printed.getvalue().splitlines()]
    assert "| ours by it, confirmed orders/s | 0.5 | | 4.0 | 4.0 | 4.0 |" in rows
    assert (tmp_path / "peers.png").stat().st_size > 10_000
