"""The measured speed of the drain. Only a drain that is behind shows how fast it can be."""

from collections import deque

from consumer.drain_control import DrainControl

_WINDOW_SECONDS = 2.0
_MIN_SECONDS = 0.25


class DrainSpeed:
    """The mean speed over the last two seconds. It reads no clock: `now` is an argument."""

    def __init__(self, control: DrainControl) -> None:
        """Assume the rate of `control` while the drain is not behind."""
        self._control = control
        self._decided: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int, behind: bool) -> None:
        """Count `count` orders that were decided by `now`; `behind`: more orders were waiting."""
        if not behind:
            self._decided.clear()
        self._decided.append((now, count))
        while self._decided[0][0] < now - _WINDOW_SECONDS:
            self._decided.popleft()

    @property
    def rate(self) -> float:
        """The speed in orders a second."""
        if not self._decided:
            return self._control.rate
        seconds = self._decided[-1][0] - self._decided[0][0]
        if seconds < _MIN_SECONDS:
            return self._control.rate
        # The time starts with the first batch, so only the orders after it count.
        return (sum(count for _, count in self._decided) - self._decided[0][1]) / seconds
