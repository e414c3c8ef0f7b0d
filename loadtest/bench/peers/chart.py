"""The chart: orders confirmed a second, and how each drain keeps its limit."""

from collections.abc import Mapping
from pathlib import Path

from loadtest.bench.peers.contestants import BARE, CONTESTANTS, DRAINING
from loadtest.bench.peers.drain import RATE, DrainResult
from loadtest.measure.windows import counts_per_window

_COLOURS = {
    "bare": "#9aa0a6",
    "gateway": "#c2410c",
    "aio_pika": "#3b82c4",
    "faststream": "#3a9d5d",
    "celery": "#b07d0a",
}
_WINDOW_SECONDS = 0.1


def draw(figures: Mapping[str, float], drained: Mapping[str, DrainResult], file: Path) -> None:
    """Draw bars for the intake and a line for each drain, from one turn of each."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(10, 8.5), layout="constrained")
    panels = figure.subfigures(2, 1, squeeze=False, height_ratios=(2, 3))
    bars, lines = panels[0, 0], panels[1, 0]

    axis = bars.subplots()
    shown = list(reversed(CONTESTANTS))
    rates = [figures[f"{one.prefix}accepted_per_second"] for one in shown]
    drawn = axis.barh(
        [one.title for one in shown], rates, color=[_COLOURS[one.name] for one in shown]
    )
    labels = [
        f" {rate:,.0f}" + ("  (confirms nothing)" if one is BARE else "")
        for one, rate in zip(shown, rates, strict=True)
    ]
    axis.bar_label(drawn, labels)
    axis.set_xlim(0, max(rates) * 1.3)
    axis.set_title("Orders confirmed a second by one process, 64 connections", loc="left")
    axis.xaxis.set_major_formatter("{x:,.0f}")

    axes = lines.subplots(len(DRAINING), 1, sharex=True, sharey=True)
    limit = RATE * _WINDOW_SECONDS
    for axis, one in zip(axes, DRAINING, strict=True):
        # The last window is incomplete.
        counts = counts_per_window(drained[one.name].paced, _WINDOW_SECONDS)[:-1]
        at = [number * _WINDOW_SECONDS for number in range(len(counts))]
        axis.step(at, counts, where="post", color=_COLOURS[one.name], linewidth=1.5)
        axis.fill_between(at, counts, step="post", color=_COLOURS[one.name], alpha=0.2)
        axis.axhline(limit, color="#555555", linestyle=":", linewidth=1.2)
        axis.set_title(one.title, loc="right", fontsize=10, y=0.97, va="top")
    axes[0].set_ylim(0, max(axes[0].get_ylim()[1], 1.6 * limit))
    axes[-1].set_xlabel("seconds since the first order")
    lines.suptitle(
        f"Orders released to the database in each 100 ms, at a limit of {RATE:,}/s (dotted)",
        x=0.02,
        ha="left",
    )
    for axis in (*bars.axes, *axes):
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.01)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
