"""The picture: confirms a second, and the latency of a confirm in the spike."""

from collections.abc import Mapping
from pathlib import Path

from flashsale.advice.figures import BrokerFigures

_SYNCED, _UNSYNCED = "#3b82c4", "#c2410c"
# Below this, the server has confirmed before it synced.
_FSYNCS_OF_A_DURABLE_QUEUE = 1.0


def draw(figures: Mapping[str, BrokerFigures], file: Path) -> None:
    """Draw a bar for each queue; red ones confirm before the order is on the disk."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    shown = list(figures.values())[::-1]
    titles = [found.title for found in shown]
    colours = [_SYNCED if is_synced(found) else _UNSYNCED for found in shown]
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 5), sharey=True, layout="constrained")
    for panel, values, title in (
        (panels[0], [one.confirmed_per_second for one in shown], "Confirms a second, 64 in flight"),
        (panels[1], [one.p99_ms_at_5000 for one in shown], "p99 of a confirm at 5,000/s, ms"),
    ):
        bars = panel.barh(titles, values, color=colours)
        panel.bar_label(bars, fmt="{:,.0f}" if panel is panels[0] else "{:,.1f}", padding=3)
        panel.set_xscale("log")
        panel.set_xlim(min(values) / 3, max(values) * 6)
        panel.set_title(title, loc="left", fontsize=11)
        panel.spines[["top", "right"]].set_visible(False)
    legend = [
        Patch(color=_SYNCED, label="confirms after a sync to the disk"),
        Patch(color=_UNSYNCED, label="confirms before it: a power cut may lose orders"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(file, dpi=90)
    pyplot.close(figure)


def is_synced(found: BrokerFigures) -> bool:
    """Return whether the queue syncs for its confirms, by the number of syncs."""
    return (found.fsyncs_per_1000 or 0.0) >= _FSYNCS_OF_A_DURABLE_QUEUE
