"""How fast the drain is: measured while it is behind, as only then its speed is its own."""

from collections import deque

from consumer.drain_control import DrainControl

_WINDOW_SECONDS = 2.0
_LEAST_SECONDS = 0.25


class DrainSpeed:
    """Orders a second over the last two seconds. It reads no clock: `now` is in seconds."""

    def __init__(self, control: DrainControl) -> None:
        """Trust the drain to keep the rate of `control` while it is not behind."""
        self._control = control
        self._decided: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int, behind: bool) -> None:
        """`count` orders were decided by `now`; `behind`: more were waiting all the while."""
        if not behind:
            self._decided.clear()
        self._decided.append((now, count))
        while self._decided[0][0] < now - _WINDOW_SECONDS:
            self._decided.popleft()

    @property
    def rate(self) -> float:
        """Orders a second."""
        if not self._decided:
            return self._control.rate
        seconds = self._decided[-1][0] - self._decided[0][0]
        if seconds < _LEAST_SECONDS:
            return self._control.rate
        # The first batch is where the clock starts: what came after it took that time.
        return (sum(count for _, count in self._decided) - self._decided[0][1]) / seconds
