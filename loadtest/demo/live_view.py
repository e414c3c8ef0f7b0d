"""Show a running sale on a terminal."""

import time

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from loadtest.demo.watch import Watch


class LiveView:
    """A live view on a terminal; without a terminal, a line a second."""

    def __init__(self, watch: Watch, console: Console) -> None:
        self._watch = watch
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._printed_at = 0.0

    def __enter__(self) -> "LiveView":
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
            self._console.print(self._line(), soft_wrap=True)

    def _line(self) -> str:
        now, watch = self._watch.samples[-1], self._watch
        return (
            f"arrivals {watch.rate('arrived'):5.0f}/s  accepted {watch.rate('accepted'):5.0f}/s"
            f"  backlog {now.backlog:5}  drained {watch.rate('released'):5.0f}/s"
            f"  left {now.stock - now.sold - now.held:5}"
            + (f"  held {now.held:5}  in line {now.waiting:5}" if self._watch.holds else "")
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
            (
                "stock left",
                now.stock - now.sold - now.held,
                max(now.stock, 1),
                f" of {now.stock:,}",
                "blue",
            ),
        ]
        if watch.holds:
            rows[-1:] = [
                ("sold", now.sold, max(now.stock, 1), f" of {now.stock:,}", "blue"),
                ("held", now.held, max(now.stock, 1), f" of {now.stock:,}", "cyan"),
                ("in line", now.waiting, max(now.stock, 1), " orders", "yellow"),
            ]
        for name, value, limit, unit, colour in rows:
            bar = ProgressBar(limit, min(value, limit), width=40, complete_style=colour,
                              finished_style=colour)  # fmt: skip
            table.add_row(name, bar, f"{value:,.0f}{unit}")
        refused = "  ".join(f"{kind} {count:,}" for kind, count in sorted(now.refused.items()))
        return Group(table, Text(f"refused: {refused or 'none'}", style="dim"))
