"""How exactly a rate is kept: how many orders fall into a window of time, wherever it begins."""

from collections.abc import Sequence

Batches = Sequence[tuple[float, int]]
"""(when, how many), by time."""


def most(batches: Batches, seconds: float) -> int:
    """The most orders in any window of that length."""
    total = found = oldest = 0
    for moment, count in batches:
        total += count
        while batches[oldest][0] <= moment - seconds:
            total -= batches[oldest][1]
            oldest += 1
        found = max(found, total)
    return found


def fewest(batches: Batches, seconds: float) -> int:
    """The fewest orders in any window of that length, of those that end before the last batch.

    All orders, if the batches span less than such a window.
    """
    total = newest = 0
    found = None
    for oldest, (start, _) in enumerate(batches):
        if start + seconds > batches[-1][0]:
            break
        # What came just after this batch, up to the end of the window.
        while newest < len(batches) and batches[newest][0] <= start + seconds:
            total += batches[newest][1]
            newest += 1
        total -= batches[oldest][1]
        found = total if found is None else min(found, total)
    return sum(count for _, count in batches) if found is None else found


def per_second(batches: Batches) -> float:
    """The rate. The first batch is where the clock starts: the others took the time."""
    span = batches[-1][0] - batches[0][0]
    return sum(count for _, count in batches[1:]) / span


def tally(batches: Batches, seconds: float) -> list[int]:
    """Orders in each window of that length, one after the other, from the first batch on."""
    start = batches[0][0]
    counts = [0] * (int((batches[-1][0] - start) / seconds) + 1)
    for moment, count in batches:
        counts[int((moment - start) / seconds)] += count
    return counts
