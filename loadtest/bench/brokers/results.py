"""The medians of the rounds, and their tables."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median

from rich.table import Table

from flashsale.advice.figures import COLUMNS, BrokerFigures, row
from loadtest.bench.brokers.contenders import Contender
from loadtest.bench.brokers.turns import Once, Turn
from loadtest.measure.machine import machine


def summarized(
    contenders: Sequence[Contender],
    turns: Mapping[str, Sequence[Turn]],
    once: Mapping[str, Once],
) -> dict[str, BrokerFigures]:
    """Return the figures of each contender by its name.

    They are medians of the rounds; of the orders past the bound the most in any round.
    """
    return {one.name: _figures(one, turns[one.name], once[one.name]) for one in contenders}


def _figures(one: Contender, turns: Sequence[Turn], once: Once) -> BrokerFigures:
    refused = [turn.refused.refused / turn.refused.seconds for turn in turns if turn.refused]
    past = [turn.past_bound for turn in turns if turn.past_bound is not None]
    back_after = once.killed.back_after_seconds
    return BrokerFigures(
        title=one.title,
        version=one.version(),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=machine(),
        confirmed_per_second=round(median(t.loop.confirmed / t.loop.seconds for t in turns)),
        p50_ms=round(median(turn.loop.p50_ms for turn in turns), 1),
        p99_ms=round(median(turn.loop.p99_ms for turn in turns), 1),
        server_us=round(median(turn.loop.server_us for turn in turns), 1),
        fsyncs_per_1000=None if once.fsyncs is None else round(once.fsyncs, 2),
        accepted_at_5000=round(median(turn.spike.accepted for turn in turns)),
        p50_ms_at_5000=round(median(turn.spike.p50_ms for turn in turns), 1),
        p99_ms_at_5000=round(median(turn.spike.p99_ms for turn in turns), 1),
        refused_per_second=round(median(refused)) if refused else None,
        past_bound=max(past, default=None),
        back_after_kill_seconds=None if back_after is None else round(back_after, 2),
        lost_by_kill=once.killed.lost,
    )


def table(figures: Mapping[str, BrokerFigures]) -> Table:
    """Return the figures as a table for the terminal."""
    drawn = Table(*COLUMNS)
    drawn.columns[0].no_wrap = True
    for column in drawn.columns[1:]:
        column.justify = "right"
    for found in figures.values():
        drawn.add_row(*row(found))
    return drawn


def markdown(figures: Mapping[str, BrokerFigures]) -> str:
    """Return the same table for a document."""
    lines = [COLUMNS, ("---", *["--:"] * (len(COLUMNS) - 1)), *map(row, figures.values())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
