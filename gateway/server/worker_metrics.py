"""The metrics of several processes as one: what Prometheus should see of a gateway's workers."""

from collections.abc import Iterable, Mapping

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from flashsale.observability import broker_metrics, gateway_metrics, process_metrics
from flashsale.observability.process_metrics import Aggregation

GAUGE_AGGREGATIONS: Mapping[str, Aggregation] = {
    **process_metrics.GAUGE_AGGREGATIONS,
    **broker_metrics.GAUGE_AGGREGATIONS,
    **gateway_metrics.GAUGE_AGGREGATIONS,
}
"""The rule by which each gauge of a worker becomes one of the gateway, kept beside the gauge."""

_GROWING = ("counter", "histogram")

Key = tuple[str, tuple[tuple[str, str], ...]]


class Family:
    """A metric with its samples, by name and labels."""

    def __init__(self, metric: Metric) -> None:
        self.name = metric.name
        self.documentation = metric.documentation
        self.type = metric.type
        self.samples: dict[Key, float] = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for sample in metric.samples
        }

    def add(self, other: "Family") -> None:
        """Take in what another process has."""
        for key, value in other.samples.items():
            mine = self.samples.get(key)
            self.samples[key] = value if mine is None else self._joined(mine, value)

    def _joined(self, one: float, other: float) -> float:
        rule = "sum" if self.type in _GROWING else GAUGE_AGGREGATIONS.get(self.name, "max")
        match rule:
            case "sum":
                return one + other
            case "min":
                return min(one, other)
            case _:
                return max(one, other)

    def as_metric(self) -> Metric:
        """It, as Prometheus' client exposes it."""
        metric = Metric(self.name, self.documentation, self.type)
        for (name, labels), value in self.samples.items():
            metric.add_sample(name, dict(labels), value)
        return metric


Page = Mapping[str, Family]


def read_page(text: str) -> dict[str, Family]:
    """A `/metrics` page by the names of its metrics."""
    return {metric.name: Family(metric) for metric in text_string_to_metric_families(text)}


def counts_of(page: Page) -> dict[str, Family]:
    """What of a page only ever grows. It stays counted when the process that did it is gone."""
    return {name: found for name, found in page.items() if found.type in _GROWING}


def added(pages: Iterable[Page]) -> dict[str, Family]:
    """All pages as one."""
    total: dict[str, Family] = {}
    for page in pages:
        for name, family in page.items():
            if name not in total:
                # A copy: the pages stay as they are.
                total[name] = Family(family.as_metric())
            else:
                total[name].add(family)
    return total
