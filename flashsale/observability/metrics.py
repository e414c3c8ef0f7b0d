"""Every metric, in one place. Labels are bounded: no customer, order or raw path is ever one."""

import time
from collections.abc import Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flashsale import __version__
from flashsale.broker import Broker
from flashsale.domain.sales import Sale
from flashsale.observability.fast_metrics import Latencies, Tally

# From a confirm on an idle machine to a client that gave up.
_ACCEPT_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
_TRANSACTION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
_SERVICE_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Time enough to be asked a few times after the last order was decided.
_SHOWN_SECONDS = 60
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)


class _Metrics:
    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Count in a registry of its own, or in one that another part of the process has."""
        self.registry = _new_registry() if registry is None else registry


def _new_registry() -> CollectorRegistry:
    # Else every counter has a second series, which nothing here reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    build = Gauge("flashsale_build_info", "1, of this version", ["version"], registry=registry)
    build.labels(__version__).set(1)
    return registry


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


class BrokerCollector(Collector):
    """The connection to the broker, as it is when Prometheus asks."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for."""
        counts = self._broker.counts
        published = CounterMetricFamily(
            "flashsale_broker_messages",
            "Messages published, by the broker's answer; unanswered: nobody knows",
            labels=["answer"],
        )
        for answer in ("confirmed", "refused", "returned", "unanswered"):
            published.add_metric([answer], getattr(counts, answer))
        yield published
        yield CounterMetricFamily(
            "flashsale_broker_reconnects", "Connections made anew", value=counts.reconnects
        )
        for name, help_text, value in (
            ("up", "1 if messages can be published", self._broker.trouble is None),
            ("blocked", "1 if the broker is short of memory or disk", self._broker.blocked),
            ("in_flight_messages", "Published and not answered for", self._broker.in_flight),
        ):
            yield GaugeMetricFamily(f"flashsale_broker_{name}", help_text, value=float(value))


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


class GatewayMetrics(_Metrics):
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


class ConsumerMetrics(_Metrics):
    """What a consumer counts."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        super().__init__(registry)
        self.active = Gauge(
            "flashsale_drain_active", "1 if this is the one drain", registry=self.registry
        )
        self.rate_limit = Gauge(
            "flashsale_drain_rate_limit",
            "Orders a second that the database gets at the most",
            registry=self.registry,
        )
        self.released = Counter(
            "flashsale_released_orders",
            "Orders released to the database, retries included",
            registry=self.registry,
        )
        self.released_max = Gauge(
            "flashsale_released_max_1s_orders",
            "The most orders released in any one second so far",
            registry=self.registry,
        )
        self.pacing_wait_seconds = Counter(
            "flashsale_pacing_wait_seconds",
            "Time that orders at hand waited for their pace",
            registry=self.registry,
        )
        self.unacked = Gauge(
            "flashsale_backlog_unacked_orders",
            "Orders that the drain has in hand",
            registry=self.registry,
        )
        self.oldest_seconds = Gauge(
            "flashsale_backlog_oldest_seconds",
            "How long the order that was released last had waited since its 202",
            registry=self.registry,
        )
        self.decided = Counter(
            "flashsale_decided_orders",
            "Orders decided: confirmed, or the reason of the rejection",
            ["outcome"],
            registry=self.registry,
        )
        self.dead = Counter(
            "flashsale_dead_orders", "Orders put in the dead queue", registry=self.registry
        )
        self.retries = Counter(
            "flashsale_ledger_retries", "Transactions tried again", registry=self.registry
        )
        self.transaction_seconds = Histogram(
            "flashsale_transaction_seconds",
            "One batch's transaction, its commit included",
            buckets=_TRANSACTION_BUCKETS,
            registry=self.registry,
        )
        self.step_seconds = Histogram(
            "flashsale_transaction_step_seconds",
            "The steps of that transaction: lock the sales, read what is known, write, commit",
            ["step"],
            buckets=_TRANSACTION_BUCKETS,
            registry=self.registry,
        )
        self.relayed = Counter(
            "flashsale_relayed_events",
            "Events that the broker has confirmed",
            registry=self.registry,
        )
        self.outbox_lag_seconds = Gauge(
            "flashsale_outbox_lag_seconds",
            "Age of the oldest event that the relay found unsent",
            registry=self.registry,
        )
        self.batch_orders = Histogram(
            "flashsale_batch_orders",
            "Orders in a batch",
            buckets=_BATCH_BUCKETS,
            registry=self.registry,
        )


class ServicesMetrics(_Metrics):
    """What the services count. The label is a service's name, of which there are a few."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        super().__init__(registry)
        self.handled = Counter(
            "flashsale_service_handled_events",
            "Events whose effect was recorded",
            ["service"],
            registry=self.registry,
        )
        self.repeated = Counter(
            "flashsale_service_repeated_events",
            "Events that came again after they were done, and changed nothing",
            ["service"],
            registry=self.registry,
        )
        self.retried = Counter(
            "flashsale_service_retried_events",
            "Tries that failed and come again",
            ["service"],
            registry=self.registry,
        )
        self.dead = Counter(
            "flashsale_service_dead_events",
            "Events put in a dead queue",
            ["service"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "flashsale_service_seconds",
            "One event's handler, without its wait in the queue",
            ["service"],
            buckets=_SERVICE_BUCKETS,
            registry=self.registry,
        )
