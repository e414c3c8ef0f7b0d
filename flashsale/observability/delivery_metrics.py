"""The metrics of deliveries to a receiver. There are none without an HTTP sink."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge

from flashsale.domain.delivery.answers import Answer, kind_of
from flashsale.domain.delivery.breaker import BreakerState
from flashsale.observability.fast_metrics import FastCounter, FastHistogram

_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class DeliveryMetrics:
    """The metrics of one receiver."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the metrics."""
        self._answers = FastCounter(
            "flashsale_sink_attempts",
            "Attempts to deliver an order to the HTTP sink, by what came back",
            ["answer"],
            registry,
        )
        self._seconds = FastHistogram(
            "flashsale_sink_request_seconds",
            "Seconds of a request to the HTTP sink, its answer included",
            _SECONDS_BUCKETS,
            registry,
        )
        self.in_flight = Gauge(
            "flashsale_sink_in_flight_orders",
            "Orders on their way to the HTTP sink",
            registry=registry,
        )
        self._breaker = Gauge(
            "flashsale_sink_breaker_state",
            "1 for the state of the circuit breaker of the HTTP sink",
            ["state"],
            registry=registry,
        )
        self.breaker_is(BreakerState.CLOSED)

    def answered(self, answers: Sequence[Answer], seconds: float) -> None:
        """Count a request that took so many seconds, and an attempt for each of its orders."""
        self._seconds.observe(seconds)
        for answer in answers:
            self._answers.add(kind_of(answer))

    def breaker_is(self, state: BreakerState) -> None:
        """Show the state of the circuit breaker."""
        for each in BreakerState:
            self._breaker.labels(each.value).set(each is state)
