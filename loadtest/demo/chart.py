"""The chart of a sale."""

from pathlib import Path

from loadtest.demo.watch import Watch


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
