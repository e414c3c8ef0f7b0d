"""Print the report of both runs, side by side."""

from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from loadtest.demo.sink.figures import RunFigures, SinkReport

_KEPT_UP = 0.95
_MOST_ERRORS_SHOWN = 5

_ROWS: tuple[tuple[str, Callable[[RunFigures], str]], ...] = (
    ("offered", lambda run: f"{run.offered:,}, {run.offered_max_1s:,}/s at peak"),
    (
        "reached the shop",
        lambda run: f"{run.reached_shop:,}, {run.reached_shop_max_1s:,}/s at peak",
    ),
    ("orders made in the spike", lambda run: f"{run.orders_per_second:,.0f}/s"),
    ("stock, sold", lambda run: f"{run.stock:,}, {run.sold:,}"),
    ("failed requests", lambda run: f"{run.errors:,}"),
    ("oversold, doubled", lambda run: f"{run.oversold}, {run.doubled}"),
    ("from click to answer", lambda run: _in_words(run.answer_ms)),
    ("from click to order", lambda run: _in_words(run.order_ms)),
)


def print_summary(report: SinkReport, console: Console) -> None:
    """Print both runs as a table, and what the gateway promised."""
    table = Table(title="The same spike twice", title_justify="left")
    for name in ("", "the shop alone", "with the gateway in front"):
        table.add_column(name)
    for name, words in _ROWS:
        table.add_row(name, words(report.straight), words(report.through))
    names = report.straight.refused.keys() | report.through.refused.keys()
    for name in sorted(names):
        counts = (run.refused.get(name, 0) for run in (report.straight, report.through))
        table.add_row(f"  refused: {name}", *(f"{count:,}" for count in counts))
    table.add_row(
        "accepted, decided, lost", "", f"{report.accepted:,}, {report.decided:,}, {report.lost:,}"
    )
    table.add_row("confirmed", "", f"{report.confirmed:,}")
    for reason, count in sorted(report.rejected.items()):
        table.add_row(f"  rejected: {reason}", "", f"{count:,}")
    console.print(table)
    for name, run in (("alone", report.straight), ("with the gateway", report.through)):
        if run.offered_max_1s < _KEPT_UP * report.wanted_rate:
            console.print(
                f"This machine offered {run.offered_max_1s:,} orders a second to the shop {name},"
                f" not {report.wanted_rate:,}: try a lower --rate."
            )
    if report.straight.reached_shop_max_1s < _KEPT_UP * report.straight.offered_max_1s:
        console.print(
            f"At most {report.straight.reached_shop_max_1s:,} orders a second reached the shop"
            " alone: this machine was busy, and requests waited for a connection."
        )
    for broken in report.broken[:_MOST_ERRORS_SHOWN]:
        console.print(f"[bold red]broken:[/] {broken}")
    if not report.broken:
        console.print("[bold green]The gateway kept every promise.[/]")


def _in_words(milliseconds: dict[str, float]) -> str:
    shown = {name: milliseconds[name] for name in ("p50", "p99") if name in milliseconds}
    return ", ".join(f"{name} {value:,.0f} ms" for name, value in shown.items())
