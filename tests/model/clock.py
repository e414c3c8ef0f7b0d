"""The one clock of a test: it stands still until the loop moves it."""

import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

PRODUCT = "flashsale", "gateway", "consumer"
_EPOCH = 1_800_000_000.0


class Clock:
    """Stands in for the module `time` in the product's modules. `now` is in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stepped = 0.0
        """How far somebody has set the wall clock ahead, in seconds."""

    def monotonic(self) -> float:
        return self.now

    def perf_counter(self) -> float:
        return self.now

    def time(self) -> float:
        return _EPOCH + self.now + self.stepped


class Sleep:
    """Stands in for the module `select`, by which the product sleeps."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def select(self, _: object, __: object, ___: object, seconds: float) -> None:
        self._clock.now += seconds


@contextmanager
def injected(clock: Clock) -> Iterator[None]:
    """Have every loaded module of the product read this clock and no other."""
    with _replaced("time", time, clock), _replaced("select", select, Sleep(clock)):
        yield


@contextmanager
def _replaced(name: str, original: object, stand_in: object) -> Iterator[None]:
    modules = [
        module
        for full_name, module in sys.modules.items()
        if full_name.partition(".")[0] in PRODUCT and getattr(module, name, None) is original
    ]
    for module in modules:
        vars(module)[name] = stand_in
    try:
        yield
    finally:
        for module in modules:
            vars(module)[name] = original
