"""Count what happens by the clock: in tenths of a second, and the most in any second."""

from collections import deque

TENTH = 0.1
_WINDOW_SECONDS = 1.0


class Timeline:
    """Counts events since `start`. Moments are in seconds of one clock and never go back."""

    def __init__(self, start: float) -> None:
        self._start = start
        self._last_second: deque[float] = deque()
        self.tenths: list[int] = []
        """The number of events in each tenth of a second since the start."""
        self.total = 0
        self.most = 0
        """The most events in any second, wherever that second begins."""

    def add(self, moment: float) -> None:
        """Count an event."""
        self.total += 1
        tenth = int((moment - self._start) / TENTH)
        if tenth >= len(self.tenths):
            self.tenths += [0] * (tenth + 1 - len(self.tenths))
        self.tenths[tenth] += 1
        self._last_second.append(moment)
        while self._last_second[0] <= moment - _WINDOW_SECONDS:
            self._last_second.popleft()
        self.most = max(self.most, len(self._last_second))

    def per_second(self) -> list[int]:
        """Return the number of events in each whole second since the start."""
        return [sum(self.tenths[at : at + 10]) for at in range(0, len(self.tenths), 10)]
