"""The metrics of the services."""

from prometheus_client import Counter, Gauge, Histogram

from flashsale.observability.process_metrics import ProcessMetrics, ProcessRegistry

_SERVICE_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ServicesMetrics(ProcessMetrics):
    """The metrics of the services. The label is the name of a service."""

    def __init__(self, registry: ProcessRegistry | None = None) -> None:
        super().__init__(registry)
        self.handled = Counter(
            "flashsale_service_handled_events",
            "Events handled, their effect recorded",
            ["service"],
            registry=self.registry,
        )
        self.repeated = Counter(
            "flashsale_service_repeated_events",
            "Redelivered events that were done before and changed nothing",
            ["service"],
            registry=self.registry,
        )
        self.retried = Counter(
            "flashsale_service_retried_events",
            "Failed attempts that will be retried",
            ["service"],
            registry=self.registry,
        )
        self.dead = Counter(
            "flashsale_service_dead_events",
            "Events moved to a dead queue",
            ["service"],
            registry=self.registry,
        )
        self.paused = Gauge(
            "flashsale_service_paused",
            "1 while a service takes no events because the other side of it is away",
            ["service"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "flashsale_service_seconds",
            "Seconds of an event's handler, without the wait in the queue",
            ["service"],
            buckets=_SERVICE_BUCKETS,
            registry=self.registry,
        )
