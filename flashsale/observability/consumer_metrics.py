"""What a consumer counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from flashsale.observability.process_metrics import ProcessMetrics

_TRANSACTION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)


class ConsumerMetrics(ProcessMetrics):
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
