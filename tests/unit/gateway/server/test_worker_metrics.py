"""The metrics of several workers as one page."""

from prometheus_client import Gauge, generate_latest

from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.observability.monitoring import LoopMonitor
from gateway.server.worker_metrics import (
    GAUGE_AGGREGATIONS,
    Page,
    add_pages,
    growing_families,
    read_page,
)

# All others of a gateway's gauges: what its workers share, and each has looked at for itself.
SHARED = {
    *("flashsale_backlog_orders", "flashsale_backlog_limit_orders", "flashsale_status_orders"),
    *("flashsale_sale_stock_items", "flashsale_sale_sold_items", "flashsale_sale_oversold_items"),
    *("flashsale_build_info", "flashsale_broker_blocked", "process_max_fds", "python_info"),
    *("flashsale_missing_orders", "flashsale_intake_paused", "flashsale_limited_clients"),
    *("flashsale_sale_held_items", "flashsale_sale_waiting_orders"),
    "flashsale_token_keys_age_seconds",
}


def page(metrics: GatewayMetrics) -> str:
    return generate_latest(metrics.registry).decode()


def value(metrics: str | Page, name: str, **labels: str) -> float:
    families = read_page(metrics) if isinstance(metrics, str) else metrics
    family = next(f for f in families.values() if name.startswith(f.name))
    return family.samples[name, tuple(sorted(labels.items()))]


def a_worker(accepted: int, seconds: float, backlog: int, streams: int) -> str:
    metrics = GatewayMetrics()
    for _ in range(accepted):
        metrics.orders.add("accepted")
    metrics.requests.answered("POST", "/orders", 202)
    metrics.accept_seconds.observe(seconds)
    metrics.backlog.set(backlog)
    metrics.streams.set(streams)
    return page(metrics)


def total_of(*pages: str) -> GatewayMetrics:
    """The pages add_pages up, read again as Prometheus would."""
    metrics = GatewayMetrics()
    for name in list(metrics.registry._collector_to_names):
        metrics.registry.unregister(name)

    class Total:
        def collect(self) -> object:
            return [f.as_metric() for f in add_pages(map(read_page, pages)).values()]

    metrics.registry.register(Total())  # type: ignore[arg-type]
    return metrics


def test_counters_are_added_and_shared_gauges_are_not() -> None:
    total = page(total_of(a_worker(3, 0.003, 70, 4), a_worker(5, 0.3, 90, 6)))
    assert value(total, "flashsale_orders_total", outcome="accepted") == 8
    assert (
        value(total, "flashsale_http_requests_total", method="POST", route="/orders", status="202")
        == 2
    )
    assert value(total, "flashsale_accept_seconds_count") == 2
    assert value(total, "flashsale_accept_seconds_bucket", le="0.005") == 1
    assert value(total, "flashsale_accept_seconds_bucket", le="+Inf") == 2
    assert value(total, "flashsale_backlog_orders") == 90
    assert value(total, "flashsale_streams_open") == 10


def test_adding_pages_changes_none_of_them() -> None:
    one, other = read_page(a_worker(3, 0.1, 1, 1)), read_page(a_worker(5, 0.1, 1, 1))
    add_pages([one, other])
    assert (
        one["flashsale_orders"].samples["flashsale_orders_total", (("outcome", "accepted"),)] == 3
    )


def test_the_counts_of_a_dead_worker_stay_and_its_gauges_go() -> None:
    gone = growing_families(read_page(a_worker(3, 0.1, 70, 4)))
    total = add_pages([gone, read_page(a_worker(5, 0.1, 90, 6))])
    assert (
        total["flashsale_orders"].samples["flashsale_orders_total", (("outcome", "accepted"),)] == 8
    )
    assert total["flashsale_streams_open"].samples["flashsale_streams_open", ()] == 6


def test_a_single_worker_without_a_broker_makes_the_gateway_not_up() -> None:
    def broker_up(up: int) -> str:
        metrics = GatewayMetrics()
        Gauge("flashsale_broker_up", "1", registry=metrics.registry).set(up)
        return page(metrics)

    total = add_pages(map(read_page, [broker_up(1), broker_up(0), broker_up(1)]))
    assert value(total, "flashsale_broker_up") == 0


async def test_every_gauge_has_a_rule_by_which_it_is_joined() -> None:
    metrics = GatewayMetrics()
    LoopMonitor(metrics.registry)
    gauges = {name for name, family in read_page(page(metrics)).items() if family.type == "gauge"}
    assert gauges <= SHARED | GAUGE_AGGREGATIONS.keys()
