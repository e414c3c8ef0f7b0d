"""The metrics of webhooks."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from flashsale.domain.webhooks.deliveries import Attempt, AttemptResult
from flashsale.domain.webhooks.endpoints import Backlog

_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)


class WebhookMetrics:
    """The metrics of the service `webhook` in one process.

    The gauges are about all processes: each reads them from the database. The label `endpoint` is
    the id of one of at most 50 endpoints.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the metrics."""
        attempts = Counter(
            "flashsale_webhook_attempts",
            "Attempts to send a webhook: delivered, failed and tried again, dead after the last"
            " attempt, or gone by an answer 410",
            ["result"],
            registry=registry,
        )
        self._attempts = {result: attempts.labels(result.value) for result in AttemptResult}
        self._seconds = Histogram(
            "flashsale_webhook_seconds",
            "Seconds from the start of an attempt to its answer or failure",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._pending = Gauge(
            "flashsale_webhook_pending",
            "Deliveries that are still to be made to an endpoint",
            ["endpoint"],
            registry=registry,
        )
        self._oldest = Gauge(
            "flashsale_webhook_oldest_seconds",
            "Age of the oldest event that is still to be sent to an endpoint",
            ["endpoint"],
            registry=registry,
        )
        self._disabled = Gauge(
            "flashsale_webhook_endpoint_disabled",
            "1 while an endpoint is disabled, by an operator or by its failures",
            ["endpoint", "by"],
            registry=registry,
        )
        self._shown: set[str] = set()
        self._registry = registry
        self._registered = (attempts, self._seconds, self._pending, self._oldest, self._disabled)

    def close(self) -> None:
        """Remove the metrics, as the service ends."""
        for metric in self._registered:
            self._registry.unregister(metric)

    def attempted(self, attempts: Sequence[Attempt]) -> None:
        """Count attempts."""
        for attempt in attempts:
            self._attempts[attempt.result].inc()
            self._seconds.observe(attempt.milliseconds / 1000)

    def show(self, backlogs: Sequence[Backlog], now: float) -> None:
        """Show what waits for each endpoint, and forget the endpoints that are no more."""
        for backlog in backlogs:
            self._pending.labels(backlog.endpoint_id).set(backlog.pending)
            age = 0.0 if backlog.oldest is None else max(now - backlog.oldest, 0.0)
            self._oldest.labels(backlog.endpoint_id).set(age)
            by_operator = not backlog.enabled and not backlog.gave_up
            self._disabled.labels(backlog.endpoint_id, "operator").set(by_operator)
            self._disabled.labels(backlog.endpoint_id, "failures").set(backlog.gave_up)
        present = {backlog.endpoint_id for backlog in backlogs}
        for gone in self._shown - present:
            for gauge in (self._pending, self._oldest):
                gauge.remove(gone)
            for by in ("operator", "failures"):
                self._disabled.remove(gone, by)
        self._shown = present
