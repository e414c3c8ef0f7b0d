"""The metrics of a consumer."""

from prometheus_client import Counter, Gauge, Histogram

from flashsale.observability.process_metrics import ProcessMetrics, ProcessRegistry

_TRANSACTION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)


class ConsumerMetrics(ProcessMetrics):
    """The metrics of a consumer."""

    def __init__(self, registry: ProcessRegistry | None = None) -> None:
        super().__init__(registry)
        self.active = Gauge(
            "flashsale_drain_active",
            "1 if this consumer is the active drain",
            registry=self.registry,
        )
        self.paused = Gauge(
            "flashsale_drain_paused",
            "1 if an operator has paused the drain",
            registry=self.registry,
        )
        self.rate_limit = Gauge(
            "flashsale_drain_rate_limit",
            "Limit of the drain, in orders a second",
            registry=self.registry,
        )
        self.rate_cap = Gauge(
            "flashsale_drain_rate_cap",
            "Highest limit of the drain, set by an operator or the environment, in orders a second",
            registry=self.registry,
        )
        self.rate_reason = Gauge(
            "flashsale_drain_rate_reason",
            "1 for the reason of the limit, if the rate is adaptive",
            ["reason"],
            registry=self.registry,
        )
        self.transaction_p90_seconds = Gauge(
            "flashsale_transaction_p90_seconds",
            "90th percentile of the transactions at the last decision about the adaptive rate",
            registry=self.registry,
        )
        self.transaction_target_seconds = Gauge(
            "flashsale_transaction_target_seconds",
            "What a transaction may take, in seconds; 0 if the rate is not adaptive",
            registry=self.registry,
        )
        self.clock_step_seconds = Gauge(
            "flashsale_drain_clock_step_seconds",
            "Seconds by which the database's clock is ahead of the drain's, which follows slowly",
            registry=self.registry,
        )
        self.released = Counter(
            "flashsale_released_orders",
            "Orders released to the database, retries included",
            registry=self.registry,
        )
        self.released_max = Gauge(
            "flashsale_released_max_1s_orders",
            "Most orders released in any window of one second so far",
            registry=self.registry,
        )
        self.pacing_wait_seconds = Counter(
            "flashsale_pacing_wait_seconds",
            "Seconds that delivered orders waited for the pacer",
            registry=self.registry,
        )
        self.unacked = Gauge(
            "flashsale_backlog_unacked_orders",
            "Orders delivered to the drain and not acknowledged",
            registry=self.registry,
        )
        self.oldest_seconds = Gauge(
            "flashsale_backlog_oldest_seconds",
            "Seconds from the 202 to the release, of the order released last",
            registry=self.registry,
        )
        self.decided = Counter(
            "flashsale_decided_orders",
            "Orders decided, by outcome: confirmed, or the reason of the rejection",
            ["outcome"],
            registry=self.registry,
        )
        self.dead = Counter(
            "flashsale_dead_orders", "Orders moved to the dead queue", registry=self.registry
        )
        self.retries = Counter(
            "flashsale_ledger_retries", "Retries of transactions", registry=self.registry
        )
        self.transaction_seconds = Histogram(
            "flashsale_transaction_seconds",
            "Seconds of a batch's transaction, commit included",
            buckets=_TRANSACTION_BUCKETS,
            registry=self.registry,
        )
        self.step_seconds = Histogram(
            "flashsale_transaction_step_seconds",
            "Seconds of each step of a batch's transaction: lock, read, write, pace, commit",
            ["step"],
            buckets=_TRANSACTION_BUCKETS,
            registry=self.registry,
        )
        self.relayed = Counter(
            "flashsale_relayed_events",
            "Events relayed from the outbox and confirmed by the broker",
            registry=self.registry,
        )
        self.outbox_lag_seconds = Gauge(
            "flashsale_outbox_lag_seconds",
            "Age of the oldest unsent event in the outbox, in seconds",
            registry=self.registry,
        )
        self.batch_orders = Histogram(
            "flashsale_batch_orders",
            "Orders per batch",
            buckets=_BATCH_BUCKETS,
            registry=self.registry,
        )
