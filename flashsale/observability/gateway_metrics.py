"""What a gateway counts."""

import time
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flashsale.domain.sales import Sale
from flashsale.observability.fast_metrics import Latencies, Tally
from flashsale.observability.process_metrics import Joined, ProcessMetrics

JOINED_GAUGES: Mapping[str, Joined] = {"flashsale_streams_open": "sum"}

# From a confirm on an idle machine to a client that gave up.
_ACCEPT_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
# Time enough to be asked a few times after the last order was decided.
_SHOWN_SECONDS = 60
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class RequestCounts(Tally):
    """Requests by method, route and status.

    A path is never a label, only the template of a route that there is; nor is a method that
    HTTP does not know.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(
            "flashsale_http_requests",
            "Requests that were answered, by the template of their route",
            ["method", "route", "status"],
            registry,
        )

    def answered(self, method: str, route: str, status: int) -> None:
        """Count a request that was answered."""
        self.add(method if method in _METHODS else "other", route, status)

    def of(self, method: str, route: str) -> dict[int, int]:
        """The answers of one route, by status."""
        return {
            int(status): count
            for (counted, template, status), count in self.counts().items()
            if (counted, template) == (method, route)
        }


class SalesCollector(Collector):
    """The sales, as they are when Prometheus asks: between, a thousand of them cost nothing.

    One that closed more than a minute ago has no series any more, or every sale there ever was
    would have. It keeps them if it is oversold.
    """

    def __init__(self, sales: Iterable[Sale]) -> None:
        self._sales = sales

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for."""
        since = time.time() - _SHOWN_SECONDS
        shown = [s for s in self._sales if not s.closed(since) or s.remaining < 0]
        for name, help_text, values in (
            ("stock", "Stock of the sale", [s.stock for s in shown]),
            ("sold", "Items sold", [s.sold for s in shown]),
            ("oversold", "Items sold that were not there", [max(0, -s.remaining) for s in shown]),
        ):
            family = GaugeMetricFamily(f"flashsale_sale_{name}_items", help_text, labels=["sku"])
            for sale, value in zip(shown, values, strict=True):
                family.add_metric([sale.sku], value)
            yield family


class GatewayMetrics(ProcessMetrics):
    """What a gateway counts."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = RequestCounts(self.registry)
        self.orders = Tally(
            "flashsale_orders",
            "POST /orders by outcome: accepted, or the type of the problem",
            ["outcome"],
            self.registry,
        )
        self.accept_seconds = Latencies(
            "flashsale_accept_seconds",
            "From the request for an order to its 202, the broker's confirm included",
            _ACCEPT_BUCKETS,
            self.registry,
        )
        self.polls = Counter(
            "flashsale_status_requests",
            "Requests for an order's status, by where the answer was: memory, ledger, nowhere",
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
            "Queries to the database for orders that the gateway did not know",
            registry=self.registry,
        )
        self.remembered = Gauge(
            "flashsale_status_orders", "Orders whose status is in memory", registry=self.registry
        )
        self.streams = Gauge("flashsale_streams_open", "Open event streams", registry=self.registry)
        self.streams_dropped = Counter(
            "flashsale_streams_dropped",
            "Event streams ended because their reader was too slow",
            registry=self.registry,
        )
        self.backlog = Gauge(
            "flashsale_backlog_orders",
            "Orders ready in the queue, by the latest count",
            registry=self.registry,
        )
        self.backlog_limit = Gauge(
            "flashsale_backlog_limit_orders", "Where the queue refuses more", registry=self.registry
        )
