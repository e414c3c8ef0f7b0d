"""Watch a running sale by samples of its metrics."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtest.processes import Samples, scrape


@dataclass(frozen=True)
class Sample:
    """The sale at one moment: totals since the start, and current levels."""

    at: float
    arrived: int
    accepted: int
    refused: dict[str, int]
    decided: int
    released: int
    released_max_1s: int
    backlog: int
    stock: int
    sold: int
    held: int = 0
    waiting: int = 0


@dataclass
class Watch:
    """Samples of a sale, from the metrics of its processes. `drain_rate` is the limit.

    `holds` is whether its orders are held for a payment.
    """

    ports: Sequence[int]
    sku: str
    backlog_limit: int
    drain_rate: int
    holds: bool = False
    samples: list[Sample] = field(default_factory=list)

    def sample(self) -> Sample:
        """Take and return a sample."""
        asked = time.monotonic()
        # A busy process answers late. The consumer, scraped first, counted about half-way.
        seen: Samples = scrape(self.ports[0])
        at = (asked + time.monotonic()) / 2
        for port in self.ports[1:]:
            seen |= scrape(port)
        orders = {
            outcome: round(value)
            for (name, outcome), value in seen.items()
            if name == "flashsale_orders_total"
        }

        def level(name: str, label: str = "") -> int:
            return round(seen.get((name, label), 0))

        sample = Sample(
            at=at,
            arrived=sum(orders.values()),
            accepted=orders.pop("accepted", 0),
            refused=orders,
            decided=sum(
                round(v)
                for (name, _), v in seen.items()
                if name == "flashsale_decided_orders_total"
            ),
            released=level("flashsale_released_orders_total"),
            released_max_1s=level("flashsale_released_max_1s_orders"),
            backlog=level("flashsale_backlog_orders"),
            stock=level("flashsale_sale_stock_items", self.sku),
            sold=level("flashsale_sale_sold_items", self.sku),
            held=level("flashsale_sale_held_items", self.sku),
            waiting=level("flashsale_sale_waiting_orders", self.sku),
        )
        self.samples.append(sample)
        return sample

    def rate(self, name: str, at: int = -1) -> float:
        """Return the growth of a total in the second before a sample, per second."""
        now = self.samples[at]
        before = next(
            (s for s in reversed(self.samples[: len(self.samples) + at]) if now.at - s.at >= 0.9),
            self.samples[0],
        )
        seconds = now.at - before.at
        return (getattr(now, name) - getattr(before, name)) / seconds if seconds > 0 else 0.0
