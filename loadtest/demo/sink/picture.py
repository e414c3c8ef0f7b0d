"""One picture of both runs: the shop alone, and with the gateway in front."""

from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.demo.sink.course import Course, course
from loadtest.demo.sink.figures import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OFFERED, _REACHED, _ORDERS = "#3b82c4", "#c2410c", "#3a9d5d"
_REFUSED, _ERRORS = "#9ca3af", "#111827"


def draw(straight: Run, through: Run, capacity: int, file: Path) -> None:
    """Draw both runs side by side, on the same scales."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        2, 2, sharex=True, sharey="row", figsize=(11, 6.4), height_ratios=(3, 2)
    )
    for column, (run, title) in enumerate(
        ((straight, "The shop alone"), (through, "With the gateway in front"))
    ):
        _draw_run(axes[0][column], axes[1][column], course(run), capacity)
        axes[0][column].set_title(title)
        axes[1][column].set_xlabel("seconds")
    axes[0][0].set_ylim(bottom=0)
    axes[0][0].set_ylabel("orders / s")
    axes[1][0].set_ylabel("median seconds")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="upper center", ncols=6)
    figure.legend(*axes[1][0].get_legend_handles_labels(), loc="lower center", ncols=2)
    figure.tight_layout(rect=(0, 0.05, 1, 0.95))
    figure.savefig(file, dpi=100)
    pyplot.close(figure)


def _draw_run(rates: "Axes", seconds: "Axes", run: Course, capacity: int) -> None:
    rates.plot(run.at, run.offered, color=_OFFERED, label="offered")
    rates.plot(run.at, run.reached_shop, color=_REACHED, label="reach the shop")
    rates.fill_between(run.at, run.orders, color=_ORDERS, alpha=0.3)
    rates.plot(run.at, run.orders, color=_ORDERS, label="become orders")
    rates.plot(
        run.at,
        run.refused,
        color=_REFUSED,
        linestyle="-.",
        label="sold out, or told when to come back",
    )
    rates.plot(run.at, run.errors, color=_ERRORS, linestyle="--", label="fail")
    rates.axhline(capacity, color=_REACHED, linestyle=":", label="the shop's limit")
    seconds.plot(run.at, _drawn(run.answer_seconds), color=_OFFERED, label="from click to answer")
    seconds.plot(
        run.at, _drawn(run.order_seconds), color=_ORDERS, label="from click to order in the shop"
    )
    seconds.set_yscale("log")


def _drawn(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]
