"""The chart of a soak test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.bench.soak.plan import SKIPPED
from loadtest.bench.soak.samples import Samples

_COLOURS = {
    "RabbitMQ": "#b07d0a",
    "PostgreSQL": "#666666",
    "gateway": "#3b82c4",
    "consumer": "#3a9d5d",
    "consumer 2": "#8fc7a3",
    "services": "#c2410c",
}
_PANELS = (
    ("rss_mb", "Memory", "RSS, MB"),
    ("fds", "Open files", "file descriptors"),
    ("connections", "Connections", "established"),
    ("series", "Series at /metrics", "series"),
)


def draw(samples: Samples, starts: Sequence[float], minute: float, file: Path) -> None:
    """Draw a panel for each resource, and the backlog, which shows the spikes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    style: dict[Any, Any] = {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "font.size": 9,
    }
    with mpl.rc_context(style):
        figure, panels = pyplot.subplots(5, 1, sharex=True, figsize=(10, 12))
        for panel, (what, title, label) in zip(panels, _PANELS, strict=False):
            panel.set_title(title)
            panel.set_ylabel(label)
            for (process, kind), points in samples.seen.items():
                if kind == what:
                    _line(panel, points, starts[0], _COLOURS[process], process)
        last = panels[-1]
        last.set_title("Backlog, by the gateway's count")
        last.set_ylabel("orders waiting")
        last.set_xlabel("minutes (grey: before flatness is judged)")
        points = samples.seen.get(("gateway", "backlog"), [])
        _line(last, points, starts[0], _COLOURS["RabbitMQ"], "backlog")
        for panel in panels:
            panel.axvspan(0, SKIPPED * minute / 60, color="#666666", alpha=0.12, linewidth=0)
            panel.set_ylim(bottom=0)
            panel.set_xlim(0, len(starts) * minute / 60)
            panel.grid(axis="y", alpha=0.3)
            panel.yaxis.set_major_formatter("{x:,.0f}")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper center", ncols=len(labels), frameon=False)
        figure.tight_layout(rect=(0, 0, 1, 0.97))
        figure.savefig(file, dpi=110)
        pyplot.close(figure)


def _line(
    panel: Any, points: Sequence[tuple[float, float]], start: float, colour: str, label: str
) -> None:
    at = [(moment - start) / 60 for moment, _ in points]
    panel.plot(at, [value for _, value in points], color=colour, label=label, linewidth=1.3)
