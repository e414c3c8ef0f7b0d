"""The page that `make spike` writes: plots, figures and the verdict, in one file."""

import html
import io
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import matplotlib as mpl

from flashsale.audit.history import OrderAttempt
from loadtest.demo.report import Report
from loadtest.demo.sale import Outcome
from loadtest.measure.cores import Cores

mpl.use("Agg")

_BLUE, _GREEN, _ORANGE, _RED, _GREY = "#3b82c4", "#3a9d5d", "#d97706", "#c2410c", "#8b8b8b"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } figure { margin: 1.5rem 0 } svg { width: 100%; height: auto }
table { border-collapse: collapse } td { padding: .15rem 1.5rem .15rem 0; vertical-align: top }
.kept { color: #166534 } .broken { color: #b91c1c }
"""


def page(outcome: Outcome, cores: Cores) -> str:
    """Return the page as one self-contained HTML document."""
    times = time_axis(outcome, cores)
    figures = [
        ("Orders sent, by answer", lambda axes: _flow(axes, outcome, times.start)),
        ("Backlog and drain", lambda axes: _drain(axes, outcome, times.start)),
        ("Response time of a 202", lambda axes: _latency(axes, outcome, times.start)),
        ("Cores used by each process", lambda axes: _cores(axes, cores, times.start)),
    ]
    drawn = "".join(
        f"<figure><figcaption><b>{title}</b></figcaption>{_svg(draw, times)}</figure>"
        for title, draw in figures
    )
    report = outcome.report
    verdict = (
        '<p class="kept"><b>Every promise was kept.</b></p>'
        if not report.broken
        else "".join(
            f'<p class="broken"><b>Broken:</b> {html.escape(words)}</p>' for words in report.broken
        )
    )
    rows = _rows(report) | {
        f"cores of {name}": f"{cores:.2f}" for name, cores in cores.shares().items()
    }
    table = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>A flash sale</title>'
        f"<style>{_STYLE}</style><h1>A flash sale</h1>{verdict}<table>{table}</table>{drawn}</html>"
    )


@dataclass(frozen=True)
class TimeAxis:
    """The axis that all plots share: from `start` on the monotonic clock, for so many seconds."""

    start: float
    seconds: float


def time_axis(outcome: Outcome, cores: Cores) -> TimeAxis:
    """Return the axis of all that was measured: shoppers, watch and cores have one clock."""
    moments = [
        *(entry.at for entry in outcome.history),
        *(sample.at for sample in outcome.watch.samples),
        *cores.at,
    ]
    start = min(moments, default=0.0)
    return TimeAxis(start, max(moments, default=1.0) - start)


def _rows(report: Report) -> dict[str, str]:
    refused = {f"refused: {kind}": f"{n:,}" for kind, n in sorted(report.refused.items())}
    return {
        "orders sent": f"{report.offered:,}, {report.offered_rate_peak:,}/s at the peak",
        "accepted (202)": f"{report.accepted:,}",
        **refused,
        "confirmed": f"{report.confirmed:,}",
        "stock, sold, oversold": f"{report.stock:,}, {report.sold:,}, {report.oversold}",
        "lost": str(report.lost),
        "drained in any second": f"at most {report.drain_rate_max_1s:,}"
        f" of {report.drain_rate_limit:,}",
        "accepted in": ", ".join(f"{name} {ms:,.1f} ms" for name, ms in report.accept_ms.items()),
        "unexpected answers": str(report.client_errors),
    }


def _svg(draw: Callable[[Any], None], times: TimeAxis) -> str:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 2.8))
    draw(axes)
    axes.set_xlim(0, times.seconds)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.grid(alpha=0.25)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="best", fontsize="small", framealpha=0.6)
    # The same margins for all, or equal moments would not be below each other.
    figure.subplots_adjust(left=0.09, right=0.98, bottom=0.18, top=0.96)
    file = io.StringIO()
    figure.savefig(file, format="svg")
    pyplot.close(figure)
    drawn = file.getvalue()
    return drawn[drawn.index("<svg") :]


def _flow(axes: Any, outcome: Outcome, start: float) -> None:
    """Plot the orders of each second by answer, from the shoppers' history."""
    kinds: dict[str, tuple[str, Callable[[OrderAttempt], bool]]] = {
        "sent": (_BLUE, lambda entry: True),
        "accepted": (_GREEN, lambda entry: entry.status == 202),
        "refused: queue full": (_ORANGE, lambda entry: entry.problem == "queue-full"),
        "refused: sold out": (_GREY, lambda entry: entry.problem == "sold-out"),
    }
    for label, (colour, wanted) in kinds.items():
        counts: dict[int, int] = defaultdict(int)
        for entry in outcome.history:
            if wanted(entry):
                counts[int(entry.at - start)] += 1
        seconds = range(max(counts, default=0) + 1)
        axes.plot(seconds, [counts[s] for s in seconds], label=label, color=colour)
    axes.set_ylabel("orders / s")


def _drain(axes: Any, outcome: Outcome, start: float) -> None:
    watch = outcome.watch
    at = [sample.at - start for sample in watch.samples]
    axes.fill_between(
        at, [s.backlog for s in watch.samples], color="#e0a526", alpha=0.5, label="orders waiting"
    )
    axes.axhline(watch.backlog_limit, color="#b07d0a", linestyle=":", label="limit of the queue")
    drained = [watch.rate("released", i) for i in range(-len(at), 0)]
    axes.plot(at, drained, color=_RED, label="drained / s")
    if watch.drain_rate != watch.backlog_limit:
        axes.axhline(watch.drain_rate, color=_RED, linestyle=":", label="limit of the drain")
    axes.set_ylabel("orders, orders / s")


def _latency(axes: Any, outcome: Outcome, start: float) -> None:
    by_second: dict[int, list[float]] = defaultdict(list)
    for entry in outcome.history:
        if entry.status == 202:
            by_second[int(entry.at - start)].append(entry.seconds * 1000)
    seconds = sorted(second for second, values in by_second.items() if len(values) > 1)
    for percent, colour in ((50, _GREEN), (95, _ORANGE), (99, _RED)):
        cuts = [
            quantiles(by_second[second], n=100, method="inclusive")[percent - 1]
            for second in seconds
        ]
        axes.plot(seconds, cuts, label=f"p{percent}", color=colour)
    axes.set_ylabel("ms")


def _cores(axes: Any, cores: Cores, start: float) -> None:
    for name in cores.seconds:
        axes.plot(
            [at - start for at in cores.at],
            [cores.rate(name, i) for i in range(len(cores.at))],
            label=name,
        )
    axes.set_ylabel("cores")
