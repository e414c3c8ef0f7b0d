"""The series of sales: only current or oversold sales have one."""

import time

from prometheus_client import CollectorRegistry

from flashsale.domain.sales import Sale
from flashsale.observability.gateway_metrics import SalesCollector


def seen(sales: list[Sale]) -> dict[tuple[str, str], float]:
    """Return (name, sku) -> value, as Prometheus reads it."""
    registry = CollectorRegistry()
    registry.register(SalesCollector(sales))
    return {
        (sample.name, sample.labels["sku"]): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def test_sale_metrics_show_the_state_at_the_scrape() -> None:
    sales = [Sale("tv", 10)]
    assert seen(sales)["flashsale_sale_sold_items", "tv"] == 0
    sales[0] = Sale("tv", 10, sold=4, held=3, waiting=2)
    assert seen(sales) == {
        ("flashsale_sale_stock_items", "tv"): 10,
        ("flashsale_sale_sold_items", "tv"): 4,
        ("flashsale_sale_held_items", "tv"): 3,
        ("flashsale_sale_waiting_orders", "tv"): 2,
        ("flashsale_sale_oversold_items", "tv"): 0,
    }


def test_a_closed_sale_has_no_series() -> None:
    now = time.time()
    sales = [
        Sale("scheduled", 1, opens_at=now + 60),
        Sale("just-closed", 1, closes_at=now - 5),
        Sale("long-closed", 1, closes_at=now - 3_600),
    ]
    assert {sku for _, sku in seen(sales)} == {"scheduled", "just-closed"}


def test_an_oversold_sale_keeps_its_series() -> None:
    sales = [Sale("tv", 10, sold=12, closes_at=time.time() - 3_600)]
    assert seen(sales)["flashsale_sale_oversold_items", "tv"] == 2
