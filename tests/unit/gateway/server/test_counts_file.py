"""The counts that a worker keeps in a file: whole, the latest, and all that the page has."""

import os

import pytest

from flashsale.domain.sales import Sale
from flashsale.observability.gateway_metrics import GatewayMetrics, SalesCollector
from flashsale.observability.monitoring import LoopMonitor
from gateway.server.counts_file import CountsFile, KeptCounts
from gateway.server.worker_metrics import growing_families, later_counts, read_page
from tests.unit.gateway.server.test_worker_metrics import page, value


@pytest.fixture
def file() -> CountsFile:
    return CountsFile.create()


def test_a_counts_file_holds_the_page_written_last(file: CountsFile) -> None:
    assert file.read() == b""
    for number in range(5):
        # Each is shorter than the one before it.
        written = f"page {number}".encode() * (10 - number)
        file.write(written)
        assert file.read() == written
    assert CountsFile(os.dup(file.descriptor)).read() == written


@pytest.mark.parametrize("torn_at", [0, 8, 20, 5_000])
def test_a_torn_write_leaves_the_page_before_it(file: CountsFile, torn_at: int) -> None:
    file.write(b"first" * 2_000)
    file.write(b"second" * 2_000)
    whole = os.pread(file.descriptor, 20_000, 2**26)
    file.write(b"third " * 2_000)
    torn = os.pread(file.descriptor, 20_000, 2**26)
    # As it was when that many bytes of the third were written over the first.
    os.pwrite(file.descriptor, torn[:torn_at] + whole[torn_at:], 2**26)
    assert file.read() == b"second" * 2_000


def test_every_counter_and_histogram_of_the_page_is_kept(file: CountsFile) -> None:
    metrics = GatewayMetrics()
    LoopMonitor(metrics.registry)
    metrics.registry.register(SalesCollector([Sale("tv", 5)]))
    metrics.orders.add("accepted")
    metrics.requests.answered("POST", "/orders", 202)
    metrics.polls.labels("memory").inc(7)
    metrics.accept_seconds.observe(0.003)
    KeptCounts(metrics.registry, file).write()
    kept = read_page(file.read().decode())
    shown = growing_families(read_page(page(metrics)))
    assert kept.keys() == shown.keys()
    for name, family in shown.items():
        if name != "process_cpu_seconds":
            assert kept[name].samples == family.samples


def test_the_later_of_two_pages_of_a_process_counts() -> None:
    metrics = GatewayMetrics()
    metrics.orders.add("accepted")
    metrics.accept_seconds.observe(0.003)
    earlier = read_page(page(metrics))
    metrics.orders.add("accepted")
    metrics.orders.add("sold-out")
    metrics.accept_seconds.observe(0.003)
    metrics.backlog.set(70)
    later = read_page(page(metrics))
    for one, other in ((earlier, later), (later, earlier), (later, {}), ({}, later)):
        counts = later_counts(one, other)
        assert value(counts, "flashsale_orders_total", outcome="accepted") == 2
        assert value(counts, "flashsale_orders_total", outcome="sold-out") == 1
        assert value(counts, "flashsale_accept_seconds_count") == 2
        assert value(counts, "flashsale_accept_seconds_bucket", le="0.005") == 2
        assert "flashsale_backlog_orders" not in counts
    assert value(earlier, "flashsale_orders_total", outcome="accepted") == 1
