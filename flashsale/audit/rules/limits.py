"""The limits of a drain: the rate of the environment, and what operators have set."""

from collections.abc import Iterable

from flashsale.ledger.holdings import RateChange


class Limits:
    """The rates in force over time, in orders a second."""

    def __init__(self, own: int, changes: Iterable[RateChange] = ()) -> None:
        """`own` is the rate of the environment, which holds before and between the changes."""
        self._own = own
        self._changes = sorted(
            (change.at, own if change.rate is None else change.rate) for change in changes
        )

    @property
    def highest(self) -> int:
        """The highest rate that ever was in force."""
        return max([self._own, *(rate for _, rate in self._changes)])

    def highest_in_second(self, start: float) -> int:
        """Return the highest rate in force in the second from `start`, in Unix seconds."""
        before = [rate for at, rate in self._changes if at <= start]
        during = [rate for at, rate in self._changes if start < at < start + 1]
        return max([before[-1] if before else self._own, *during])
