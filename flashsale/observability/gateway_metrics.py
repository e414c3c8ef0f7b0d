"""The metrics of a gateway."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric

from flashsale.domain.sales import Sale
from flashsale.observability.fast_metrics import FastCounter, FastHistogram
from flashsale.observability.process_metrics import Aggregation, GaugeCollector, ProcessMetrics

GAUGE_AGGREGATIONS: Mapping[str, Aggregation] = {
    "flashsale_streams_open": "sum",
    # One clock, and each worker's figure is too high by the delay of what it heard.
    "flashsale_clock_skew_seconds": "min",
}

# From the confirm of an idle broker to the timeout of a client.
_ACCEPT_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
# Enough for a few scrapes after the last order is decided.
_SHOWN_SECONDS = 60
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class RequestCounts(FastCounter):
    """Requests by method, route and status.

    To bound the labels, the route is the template of an existing route and never a path, and
    unknown methods count as `other`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(
            "flashsale_http_requests",
            "Requests answered, by method, template of the route, and status",
            ["method", "route", "status"],
            registry,
        )

    def answered(self, method: str, route: str, status: int) -> None:
        """Count an answered request."""
        self.add(method if method in _METHODS else "other", route, status)

    def of(self, method: str, route: str) -> dict[int, int]:
        """Return the number of answers of a route by status."""
        return {
            int(status): count
            for (counted, template, status), count in self.counts().items()
            if (counted, template) == (method, route)
        }


class SalesCollector(GaugeCollector):
    """Collects the state of the sales at each scrape, so that sales cost nothing in between.

    A sale that closed more than a minute ago has no series, or their number would grow for ever. An
    oversold sale keeps its series. A sale whose stock is the shop's has none about the stock.
    """

    def __init__(self, sales: Iterable[Sale]) -> None:
        self._sales = sales

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for a scrape."""
        since = time.time() - _SHOWN_SECONDS
        shown = [s for s in self._sales if not s.closed(since) or (s.remaining or 0) < 0]
        # The stock of the others is the shop's, and they hold nothing.
        ours = [(s, s.stock) for s in shown if s.stock is not None]
        for name, help_text, values in (
            ("stock_items", "Stock of the sale", [(s.sku, stock) for s, stock in ours]),
            ("sold_items", "Items sold", [(s.sku, s.sold) for s in shown]),
            ("held_items", "Items held for payments", [(s.sku, s.held) for s, _ in ours]),
            (
                "waiting_orders",
                "Orders that wait for items which are held",
                [(s.sku, s.waiting) for s, _ in ours],
            ),
            (
                "oversold_items",
                "Items sold over the stock",
                [(s.sku, max(0, s.sold - stock)) for s, stock in ours],
            ),
        ):
            family = GaugeMetricFamily(f"flashsale_sale_{name}", help_text, labels=["sku"])
            for sku, value in values:
                family.add_metric([sku], value)
            yield family


class ClockSkewCollector(GaugeCollector):
    """Collects the skew to the drain's clock at each scrape, if it is known."""

    def __init__(self, skew: Callable[[], float | None]) -> None:
        """Ask `skew` for it, in seconds."""
        self._skew = skew

    def collect(self) -> Iterator[Metric]:
        """Yield the metric for a scrape."""
        family = GaugeMetricFamily(
            "flashsale_clock_skew_seconds",
            "Seconds by which the gateway's clock is ahead of the drain's, or behind if below 0",
        )
        if (skew := self._skew()) is not None:
            family.add_metric([], skew)
        yield family


class GatewayMetrics(ProcessMetrics):
    """The metrics of a gateway."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = RequestCounts(self.registry)
        self.orders = FastCounter(
            "flashsale_orders",
            "Answers to POST /orders by outcome: accepted, or the type of the problem",
            ["outcome"],
            self.registry,
        )
        self.accept_seconds = FastHistogram(
            "flashsale_accept_seconds",
            "Seconds from the request for an order to its 202, the broker's confirm included",
            _ACCEPT_BUCKETS,
            self.registry,
        )
        self.payments = FastCounter(
            "flashsale_payments",
            "Answers to POST /payments by result: confirmed, refund_due, failed, again for one that"
            " was told of before, or the type of the problem",
            ["result"],
            self.registry,
        )
        self.payment_seconds = FastHistogram(
            "flashsale_payment_seconds",
            "Seconds from the request about a payment to its 200, the commit included",
            _ACCEPT_BUCKETS,
            self.registry,
        )
        self.payment_groups = Counter(
            "flashsale_payment_transactions",
            "Transactions that took in payments, many at a time",
            registry=self.registry,
        )
        self.polls = Counter(
            "flashsale_status_requests",
            "Requests for an order's status, by source of the answer: memory, ledger, nowhere",
            ["source"],
            registry=self.registry,
        )
        self.undecodable = Counter(
            "flashsale_undecodable_announcements",
            "Announcements on the fanout exchange that could not be decoded, and were skipped",
            registry=self.registry,
        )
        self.lookups = Counter(
            "flashsale_status_queries",
            "Queries to the database for orders that are not in the gateway's memory",
            registry=self.registry,
        )
        self.remembered = Gauge(
            "flashsale_status_orders", "Orders with their status in memory", registry=self.registry
        )
        self.clients = Gauge(
            "flashsale_limited_clients",
            "Clients whose requests the limits of clients remember",
            registry=self.registry,
        )
        self.token_keys_age = Gauge(
            "flashsale_token_keys_age_seconds",
            "Seconds since the public keys of tokens were fetched; 0 without FLASHSALE_JWKS_URL",
            registry=self.registry,
        )
        self.missing = Gauge(
            "flashsale_missing_orders",
            "Orders with a 202 that are neither decided nor in the queue, a minute after it was"
            " empty",
            registry=self.registry,
        )
        self.streams = Gauge("flashsale_streams_open", "Open event streams", registry=self.registry)
        self.streams_dropped = Counter(
            "flashsale_streams_dropped",
            "Event streams closed because the client read too slowly",
            registry=self.registry,
        )
        self.backlog = Gauge(
            "flashsale_backlog_orders",
            "Ready orders in the queue, at the latest count",
            registry=self.registry,
        )
        self.intake_paused = Gauge(
            "flashsale_intake_paused",
            "1 if an operator has paused the intake",
            registry=self.registry,
        )
        self.backlog_limit = Gauge(
            "flashsale_backlog_limit_orders",
            "Limit of the queue, in orders",
            registry=self.registry,
        )
