"""The chart of a sale."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.demo.watch import Watch


def draw(watch: Watch, file: Path) -> None:
    """Draw the chart of a sale: arrivals, the bounded backlog, the flat drain.

    If orders are held, a third plot shows what becomes of the stock.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    samples = watch.samples
    start = samples[0].at
    at = [sample.at - start for sample in samples]
    indices = range(-len(samples), 0)
    rows = 3 if watch.holds else 2
    figure, (flow, level, *more) = pyplot.subplots(rows, 1, sharex=True, figsize=(9, 3 * rows))
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
    axes = [flow, level, *more]
    axes[-1].set_xlabel("seconds")
    for axis in more:
        _draw_holds(axis, watch, at)
    if not watch.holds:
        stock = level.twinx()
        stock.plot(at, [s.stock - s.sold for s in samples], color="#555555", linestyle="--")
        stock.set_ylabel("stock left (dashed)")
        axes.append(stock)
    for axis in axes:
        axis.set_ylim(bottom=0)
    level.legend(loc="upper right")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _draw_holds(axis: Any, watch: Watch, at: Sequence[float]) -> None:
    """Draw which items are sold, held and free, and the orders in line."""
    # Before the gateway knows of the sale it says that there is no stock.
    samples = watch.samples
    stock = max(sample.stock for sample in samples)
    axis.stackplot(
        at,
        [s.sold for s in samples],
        [s.held for s in samples],
        [stock - s.sold - s.held for s in samples],
        labels=("sold", "held", "free"),
        colors=("#3a9d5d", "#e0a526", "#e5e7eb"),
    )
    axis.plot(at, [s.waiting for s in samples], color="#3b82c4", label="orders in line")
    axis.axhline(stock, color="#555555", linestyle=":", label="stock")
    axis.set_ylabel("items")
    axis.set_title("The stock")
    axis.legend(loc="upper left")
