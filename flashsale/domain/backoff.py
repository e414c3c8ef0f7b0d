"""Exponential back-off with jitter between failed attempts."""

import random


class Backoff:
    """Pauses in seconds, each up to twice as long as the one before.

    Every pause is drawn from the upper half of its range, so that processes which lost the same
    server do not come back at the same moment
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    __slots__ = ("_ceiling", "_first", "_last")

    def __init__(self, first: float, last: float) -> None:
        """Start at `first` seconds; no pause is longer than `last` seconds."""
        self._first = first
        self._last = last
        self._ceiling = first

    def next(self) -> float:
        """Return the next pause in seconds."""
        ceiling = self._ceiling
        self._ceiling = min(2 * ceiling, self._last)
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311 not a secret

    def reset(self) -> None:
        """Start again at the first pause, as an attempt has succeeded."""
        self._ceiling = self._first
