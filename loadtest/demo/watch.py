"""Watch a running sale: sample its metrics, show them live, and draw the chart."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

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


@dataclass
class Watch:
    """Samples of a sale, from the metrics of its processes. `drain_rate` is the limit."""

    ports: Sequence[int]
    sku: str
    backlog_limit: int
    drain_rate: int
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


class View:
    """A live view on a terminal; without a terminal, a line a second."""

    def __init__(self, watch: Watch, console: Console) -> None:
        self._watch = watch
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._printed_at = 0.0

    def __enter__(self) -> "View":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self) -> None:
        """Show the latest sample."""
        if self._live is not None:
            self._live.update(self._picture(), refresh=True)
        elif time.monotonic() - self._printed_at >= 1:
            self._printed_at = time.monotonic()
            self._console.print(self._line())

    def _line(self) -> str:
        now, watch = self._watch.samples[-1], self._watch
        return (
            f"arrivals {watch.rate('arrived'):5.0f}/s  accepted {watch.rate('accepted'):5.0f}/s"
            f"  backlog {now.backlog:5}  drained {watch.rate('released'):5.0f}/s"
            f"  left {now.stock - now.sold:5}"
        )

    def _picture(self) -> Group:
        now, watch = self._watch.samples[-1], self._watch
        table = Table.grid(padding=(0, 2))
        peak = max(watch.rate("arrived", at) for at in range(-len(watch.samples), 0))
        rows: list[tuple[str, float, float, str, str]] = [
            ("arrivals", watch.rate("arrived"), max(peak, 1), "/s", "cyan"),
            ("accepted", watch.rate("accepted"), max(peak, 1), "/s", "green"),
            ("backlog", now.backlog, watch.backlog_limit, f" of {watch.backlog_limit:,}", "yellow"),
            (
                "drained",
                watch.rate("released"),
                watch.drain_rate,
                f"/s of {watch.drain_rate:,}",
                "magenta",
            ),
            ("stock left", now.stock - now.sold, max(now.stock, 1), f" of {now.stock:,}", "blue"),
        ]
        for name, value, limit, unit, colour in rows:
            bar = ProgressBar(limit, min(value, limit), width=40, complete_style=colour,
                              finished_style=colour)  # fmt: skip
            table.add_row(name, bar, f"{value:,.0f}{unit}")
        refused = "  ".join(f"{kind} {count:,}" for kind, count in sorted(now.refused.items()))
        return Group(table, Text(f"refused: {refused or 'none'}", style="dim"))


def draw(watch: Watch, file: Path) -> None:
    """Draw the chart of a sale: arrivals, the bounded backlog, the flat drain."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    samples = watch.samples
    start = samples[0].at
    at = [sample.at - start for sample in samples]
    indices = range(-len(samples), 0)
    figure, (flow, level) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 6))
    for name, label, colour in (
        ("arrived", "arrivals", "#3b82c4"),
        ("accepted", "accepted", "#3a9d5d"),
        ("released", "released to the database", "#c2410c"),
    ):
        flow.plot(at, [watch.rate(name, i) for i in indices], label=label, color=colour)
    flow.axhline(watch.drain_rate, color="#c2410c", linestyle=":", label="drain limit")
    flow.set_ylabel("orders / s")
    flow.set_title("Arrivals, and orders that reach the database")
    flow.legend(loc="upper right")
    level.fill_between(at, [s.backlog for s in samples], color="#e0a526", alpha=0.6)
    level.plot(at, [s.backlog for s in samples], color="#b07d0a", label="backlog")
    level.axhline(watch.backlog_limit, color="#b07d0a", linestyle=":", label="queue limit")
    level.set_ylabel("orders waiting")
    level.set_xlabel("seconds")
    stock = level.twinx()
    stock.plot(at, [s.stock - s.sold for s in samples], color="#555555", linestyle="--")
    stock.set_ylabel("stock left (dashed)")
    for axis in (flow, level, stock):
        axis.set_ylim(bottom=0)
    level.legend(loc="upper right")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
