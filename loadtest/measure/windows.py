"""Measure how exactly a rate is kept: count the orders in sliding windows of time."""

from collections.abc import Sequence

Batches = Sequence[tuple[float, int]]
"""Batches as (moment in seconds, number of orders), in order of time."""


def most_in_window(batches: Batches, seconds: float) -> int:
    """Return the most orders in any window of `seconds`."""
    total = found = oldest = 0
    for moment, count in batches:
        total += count
        while batches[oldest][0] <= moment - seconds:
            total -= batches[oldest][1]
            oldest += 1
        found = max(found, total)
    return found


def fewest_in_window(batches: Batches, seconds: float) -> int:
    """Return the fewest orders in any window of `seconds` that ends before the last batch.

    Return the number of all orders if the batches span less than a window.
    """
    total = newest = 0
    found = None
    for oldest, (start, _) in enumerate(batches):
        if start + seconds > batches[-1][0]:
            break
        # Add the batches after this one, up to the end of the window.
        while newest < len(batches) and batches[newest][0] <= start + seconds:
            total += batches[newest][1]
            newest += 1
        total -= batches[oldest][1]
        found = total if found is None else min(found, total)
    return sum(count for _, count in batches) if found is None else found


def per_second(batches: Batches) -> float:
    """Return the rate. The first batch starts the clock and does not count."""
    span = batches[-1][0] - batches[0][0]
    return sum(count for _, count in batches[1:]) / span


def counts_per_window(batches: Batches, seconds: float) -> list[int]:
    """Return the orders in consecutive windows of `seconds`, starting at the first batch."""
    start = batches[0][0]
    counts = [0] * (int((batches[-1][0] - start) / seconds) + 1)
    for moment, count in batches:
        counts[int((moment - start) / seconds)] += count
    return counts
