"""Add the metrics of several processes up to the metrics of one gateway."""

import operator
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from flashsale.observability import broker_metrics, gateway_metrics, process_metrics
from flashsale.observability.process_metrics import COUNT_TYPES, Aggregation

GAUGE_AGGREGATIONS: Mapping[str, Aggregation] = {
    **process_metrics.GAUGE_AGGREGATIONS,
    **broker_metrics.GAUGE_AGGREGATIONS,
    **gateway_metrics.GAUGE_AGGREGATIONS,
}
"""How the workers' values of each gauge are joined. Each rule is kept beside its gauge."""

_RULES: Mapping[Aggregation, Callable[[float, float], float]] = {
    "sum": operator.add,
    "min": min,
    "max": max,
}

Key = tuple[str, tuple[tuple[str, str], ...]]


class Family:
    """A metric and its samples, by name and labels."""

    def __init__(self, metric: Metric) -> None:
        self.name = metric.name
        self.documentation = metric.documentation
        self.type = metric.type
        self.samples: dict[Key, float] = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for sample in metric.samples
        }

    def add(self, other: "Family") -> None:
        """Add the samples of another process."""
        rule = "sum" if self.type in COUNT_TYPES else GAUGE_AGGREGATIONS.get(self.name, "max")
        self._join(other, _RULES[rule])

    def advance(self, other: "Family") -> None:
        """Take over what the same process had counted at another time, if that is later."""
        self._join(other, max)

    def _join(self, other: "Family", joined: Callable[[float, float], float]) -> None:
        for key, value in other.samples.items():
            mine = self.samples.get(key)
            self.samples[key] = value if mine is None else joined(mine, value)

    def as_metric(self) -> Metric:
        """Return the family as a metric of the Prometheus client."""
        metric = Metric(self.name, self.documentation, self.type)
        for (name, labels), value in self.samples.items():
            metric.add_sample(name, dict(labels), value)
        return metric


Page = Mapping[str, Family]


def read_page(text: str) -> dict[str, Family]:
    """Parse a `/metrics` page into families, by name."""
    return {metric.name: Family(metric) for metric in text_string_to_metric_families(text)}


def growing_families(page: Page) -> dict[str, Family]:
    """Return the families that only grow. They still count when their process is gone."""
    return {name: found for name, found in page.items() if found.type in COUNT_TYPES}


def later_counts(one: Page, other: Page) -> dict[str, Family]:
    """Return the counts of the later of two pages of one process, whichever that is.

    Counts only grow, so a sum of them never shrinks that has the later ones of each process.
    """
    return _joined((growing_families(one), growing_families(other)), Family.advance)


def add_pages(pages: Iterable[Page]) -> dict[str, Family]:
    """Return the sum of all pages."""
    return _joined(pages, Family.add)


def _joined(pages: Iterable[Page], join: Callable[[Family, Family], None]) -> dict[str, Family]:
    total: dict[str, Family] = {}
    for page in pages:
        for name, family in page.items():
            if name not in total:
                # A copy, so that the page itself does not change.
                total[name] = Family(family.as_metric())
            else:
                join(total[name], family)
    return total
