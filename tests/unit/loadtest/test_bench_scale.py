"""The figures of the scale benchmark."""

from pathlib import Path

import pytest

from loadtest.bench.scale.chart import draw
from loadtest.bench.scale.figures import Row, flat, growth, tables
from loadtest.bench.scale.memory import Sample, tenths

ACCEPTED = {"accepted": 9_000.0, "p99_ms": 12.5, "cpu_us": 60.0}


def rows() -> list[Row]:
    memory = {"gateway_rss_mb": 90.0, "consumer_rss_mb": 80.0}
    return [
        Row("workers", 1, ACCEPTED),
        Row("gateways", 1, ACCEPTED),
        Row("gateways", 8, ACCEPTED),
        Row("skus", 1, ACCEPTED | {"drained": 20_000.0}),
        Row("skus", 1_000, ACCEPTED | {"drained": 9_000.0}),
        Row("backlog", 1_000, ACCEPTED | {"drained": 9_000.0, "broker_rss_mb": 150.0}),
        Row("backlog", 1_000_000, ACCEPTED | {"drained": 8_000.0, "broker_rss_mb": 250.0}),
        *(Row("tenth", number, memory) for number in range(1, 11)),
    ]


def test_scale_figures_have_flat_keys_with_the_varied_parameter() -> None:
    keys = flat(rows())
    assert keys["accepted_workers_1"] == 9_000
    assert keys["p99_ms_gateways_8"] == 12.5
    assert keys["drained_backlog_1000000"] == 8_000
    assert keys["drained_skus_1000"] == 9_000
    assert keys["gateway_rss_mb_tenth_10"] == 90


def test_each_varied_parameter_has_a_table() -> None:
    found = tables(rows())
    assert [table.row_count for table in found] == [1, 2, 2, 2, 10]


def test_memory_is_reported_after_each_tenth_of_the_orders() -> None:
    samples = [Sample(10 * n, gateway_mb=n, consumer_mb=100 - n) for n in range(12)]
    found = tenths(samples, orders=100)
    assert [row.number for row in found] == list(range(1, 11))
    assert [row.values["gateway_rss_mb"] for row in found] == list(range(1, 11))


@pytest.mark.parametrize(
    ("levels", "grown"),
    [
        ([50, 90, *[90] * 8], 0),
        ([50, 90, *[91] * 4, 95, *[91] * 3], 5),
        ([50, 90, *[80] * 8], -10),
    ],
)
def test_memory_growth_is_from_a_fifth_of_the_orders_to_the_peak(
    levels: list[float], grown: float
) -> None:
    assert growth(levels) == grown


def test_the_chart_of_scale_figures_is_drawn(tmp_path: Path) -> None:
    draw(rows(), tmp_path / "scale.png")
    assert (tmp_path / "scale.png").stat().st_size > 10_000
