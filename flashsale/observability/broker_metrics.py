"""Metrics of the connection to the broker."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flashsale.broker.port import Broker
from flashsale.observability.process_metrics import Aggregation

GAUGE_AGGREGATIONS: Mapping[str, Aggregation] = {
    "flashsale_broker_in_flight_messages": "sum",
    # If one worker can't publish, this must alarm even if the others can.
    "flashsale_broker_up": "min",
}


class BrokerCollector(Collector):
    """Collects the state of the connection to the broker at each scrape."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for a scrape."""
        counts = self._broker.counts
        published = CounterMetricFamily(
            "flashsale_broker_messages",
            "Messages published, by the broker's answer; unanswered: the outcome is unknown",
            labels=["answer"],
        )
        for answer in ("confirmed", "refused", "returned", "unanswered"):
            published.add_metric([answer], getattr(counts, answer))
        yield published
        yield CounterMetricFamily(
            "flashsale_broker_reconnects", "Reconnects to the broker", value=counts.reconnects
        )
        for name, help_text, value in (
            ("up", "1 if messages can be published", self._broker.trouble is None),
            (
                "warnings",
                "Policies of the broker that endanger orders, at the start of this process",
                len(self._broker.warnings),
            ),
            ("blocked", "1 if the broker is short of memory or disk", self._broker.blocked),
            ("in_flight_messages", "Published messages without a confirm", self._broker.in_flight),
        ):
            yield GaugeMetricFamily(f"flashsale_broker_{name}", help_text, value=float(value))
