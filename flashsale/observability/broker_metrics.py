"""The connection to the broker as metrics."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flashsale.broker.port import Broker
from flashsale.observability.process_metrics import Joined

JOINED_GAUGES: Mapping[str, Joined] = {
    "flashsale_broker_in_flight_messages": "sum",
    # One worker that can't publish is an alarm, even if the others can.
    "flashsale_broker_up": "min",
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
