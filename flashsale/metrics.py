"""Every metric, in one place. Labels are bounded: no customer, order or raw path is ever one."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

# From a confirm on an idle machine to a client that gave up.
_ACCEPT_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
_TRANSACTION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
_SERVICE_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)


class _Metrics:
    def __init__(self) -> None:
        # Else every counter has a second series, which nothing here reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)


class GatewayMetrics(_Metrics):
    """What a gateway counts."""

    def __init__(self) -> None:
        super().__init__()
        self.orders = Counter(
            "flashsale_orders",
            "POST /orders by outcome: accepted, or the type of the problem",
            ["outcome"],
            registry=self.registry,
        )
        self.accepted = self.orders.labels("accepted")
        self.accept_seconds = Histogram(
            "flashsale_accept_seconds",
            "From the request for an order to its 202, the broker's confirm included",
            buckets=_ACCEPT_BUCKETS,
            registry=self.registry,
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
        self.broker_up = Gauge(
            "flashsale_broker_up", "1 if orders can be published", registry=self.registry
        )
        self.stock = Gauge(
            "flashsale_sale_stock_items", "Stock of the sale", ["sku"], registry=self.registry
        )
        self.sold = Gauge(
            "flashsale_sale_sold_items", "Items sold", ["sku"], registry=self.registry
        )


class ConsumerMetrics(_Metrics):
    """What a consumer counts."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        if registry is None:
            super().__init__()
        else:
            self.registry = registry
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
        if registry is None:
            super().__init__()
        else:
            self.registry = registry
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


@contextmanager
def serve_metrics(registry: CollectorRegistry, host: str, port: int) -> Iterator[int]:
    """Serve `/metrics` in a thread of its own; the port. Raises `OSError`."""
    server, thread = start_http_server(port, host, registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
