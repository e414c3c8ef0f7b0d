"""The chart of all figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.bench.scale.figures import Row

_BLUE, _GREEN, _RED, _YELLOW, _GREY = "#3b82c4", "#3a9d5d", "#c2410c", "#b07d0a", "#666666"


def draw(rows: Sequence[Row], file: Path) -> None:
    """Draw a panel for each parameter. Panels without figures stay empty."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    style: dict[Any, Any] = {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "font.size": 9,
        "legend.frameon": False,
    }
    with mpl.rc_context(style):
        figure, panels = pyplot.subplots(2, 3, figsize=(14, 7.5))
        for panel, paint in zip(
            panels.flat, (_workers, _gateways, _cost, _backlog, _skus, _memory), strict=True
        ):
            panel.grid(axis="y", alpha=0.3)
            panel.yaxis.set_major_formatter("{x:,.0f}")
            paint(panel, rows)
        figure.tight_layout(w_pad=2.5, h_pad=2.5)
        figure.savefig(file, dpi=110)
        pyplot.close(figure)


def _column(rows: Sequence[Row], what: str, name: str) -> tuple[list[int], list[float]]:
    same = [row for row in rows if row.what == what]
    return [row.number for row in same], [row.values[name] for row in same]


def _bars(panel: Any, rows: Sequence[Row], what: str, label: str) -> None:
    numbers, accepted = _column(rows, what, "accepted")
    bars = panel.bar([str(number) for number in numbers], accepted, 0.55, color=_BLUE)
    panel.bar_label(bars, fmt="{:,.0f}", padding=2)
    panel.margins(y=0.15)
    panel.set_xlabel(label)
    panel.set_ylabel("orders accepted / s")


def _workers(panel: Any, rows: Sequence[Row]) -> None:
    panel.set_title("Workers of one gateway")
    _bars(panel, rows, "workers", "worker processes (SO_REUSEPORT)")


def _gateways(panel: Any, rows: Sequence[Row]) -> None:
    panel.set_title("Gateways on one broker")
    _bars(panel, rows, "gateways", "gateway processes")


def _cost(panel: Any, rows: Sequence[Row]) -> None:
    panel.set_title("What an order costs, by gateways")
    numbers, cpu = _column(rows, "gateways", "cpu_us")
    _, late = _column(rows, "gateways", "p99_ms")
    ticks = [str(number) for number in numbers]
    panel.plot(ticks, cpu, "o-", color=_RED, label="CPU of all gateways, µs an order")
    panel.set_ylabel("µs", color=_RED)
    panel.set_xlabel("gateway processes")
    other = _second(panel, "p99, ms", _GREY)
    other.plot(ticks, late, "s--", color=_GREY, label="p99 of an order, ms")
    _legend(panel, other, at="upper left")


def _backlog(panel: Any, rows: Sequence[Row]) -> None:
    panel.set_title("Orders that wait")
    numbers, accepted = _column(rows, "backlog", "accepted")
    _, drained = _column(rows, "backlog", "drained")
    _, broker = _column(rows, "backlog", "broker_rss_mb")
    panel.plot(numbers, accepted, "o-", color=_BLUE, label="accepted / s")
    panel.plot(numbers, drained, "o-", color=_GREEN, label="drained / s")
    _logarithmic(panel, numbers, "orders in the queue")
    panel.set_ylabel("orders / s")
    other = _second(panel, "MB", _YELLOW)
    other.plot(numbers, broker, "s--", color=_YELLOW, label="broker's memory, MB")
    _legend(panel, other)


def _skus(panel: Any, rows: Sequence[Row]) -> None:
    panel.set_title("Skus in one sale")
    numbers, accepted = _column(rows, "skus", "accepted")
    _, drained = _column(rows, "skus", "drained")
    panel.plot(numbers, accepted, "o-", color=_BLUE, label="accepted / s")
    panel.plot(numbers, drained, "o-", color=_GREEN, label="drained / s, batches of 500")
    _logarithmic(panel, numbers, "skus")
    panel.set_ylabel("orders / s")
    _legend(panel)


def _memory(panel: Any, rows: Sequence[Row]) -> None:
    panel.set_title("Memory while orders pass through")
    tenths, gateway = _column(rows, "tenth", "gateway_rss_mb")
    _, consumer = _column(rows, "tenth", "consumer_rss_mb")
    percent = [10 * tenth for tenth in tenths]
    panel.plot(percent, gateway, "o-", color=_BLUE, label="gateway")
    panel.plot(percent, consumer, "o-", color=_GREEN, label="consumer")
    panel.axvspan(0, 20, color=_GREY, alpha=0.12, linewidth=0)
    panel.set_xlim(0, 105)
    panel.set_xlabel("% of all orders (grey: before flatness is judged)")
    panel.set_ylabel("RSS, MB")
    _legend(panel)


def _logarithmic(panel: Any, numbers: Sequence[int], label: str) -> None:
    panel.set_xscale("log")
    panel.set_xticks(numbers, [f"{number:,}" for number in numbers])
    panel.minorticks_off()
    panel.set_xlabel(label)


def _second(panel: Any, label: str, colour: str) -> Any:
    other = panel.twinx()
    other.set_ylabel(label, color=colour)
    other.spines["right"].set_visible(True)
    other.yaxis.set_major_formatter("{x:,.0f}")
    return other


def _legend(panel: Any, *others: Any, at: str = "lower left") -> None:
    """Add one legend for all axes of a panel, with space so that it hides no line."""
    for axis in (panel, *others):
        axis.set_ylim(bottom=0, top=1.1 * axis.get_ylim()[1])
    lines = [line for axis in (panel, *others) for line in axis.get_lines()]
    panel.legend(lines, [line.get_label() for line in lines], loc=at)
