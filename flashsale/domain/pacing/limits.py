"""How many orders go together, at a rate."""


def batch_of(rate: int, largest: int | None) -> int:
    """Return the batch size at that rate: a fortieth of it, or `largest` if given.

    It is at least 1 and at most the rate.
    """
    return max(1, rate // 40) if largest is None else min(largest, rate)


def check_pace(rate: int, batch: int) -> None:
    """Raise `ValueError` unless 1 <= batch <= rate."""
    if rate < 1 or not 1 <= batch <= rate:
        raise ValueError(f"need rate >= 1 and 1 <= batch <= rate, not {rate=} {batch=}")


def tenth_of(rate: int, batch: int) -> int:
    """Return how many orders fit into 100 ms: a tenth of the rate and one batch."""
    return min(rate, rate // 10 + batch)
