"""The one clock of a test: it stands still until the loop moves it."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PRODUCT = "flashsale", "gateway", "consumer"
_EPOCH = 1_800_000_000.0


class Clock:
    """Stands in for the module `time` in the product's modules. `now` is in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def perf_counter(self) -> float:
        return self.now

    def time(self) -> float:
        return _EPOCH + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@contextmanager
def injected(clock: Clock) -> Iterator[None]:
    """Have every loaded module of the product read this clock and no other."""
    modules = [
        module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in _PRODUCT and getattr(module, "time", None) is time
    ]
    for module in modules:
        vars(module)["time"] = clock
    try:
        yield
    finally:
        for module in modules:
            vars(module)["time"] = time
