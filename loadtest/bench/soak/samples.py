"""Sample the resources of all components of the shop every two seconds."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

from loadtest.bench.soak.shop import Component
from loadtest.measure.usage import megabytes
from loadtest.processes import get

SAMPLE_SECONDS = 2.0


@dataclass
class Samples:
    """The samples: (process, resource) -> values with their monotonic time in seconds."""

    seen: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, process: str, what: str, at: float, value: float) -> None:
        """Add a value."""
        self.seen.setdefault((process, what), []).append((at, value))

    def look(self, parts: Sequence[Component]) -> None:
        """Sample all components once."""
        for part in parts:
            at = time.monotonic()
            for what, value in _resources(part.processes()).items():
                self.add(part.name, what, at, value)
            if part.metrics_port is None:
                continue
            # A component that is too busy to answer in time is sampled again in two seconds.
            if page := get(f"http://127.0.0.1:{part.metrics_port}/metrics", timeout=5):
                series = [line for line in page.splitlines() if line and line[0] != "#"]
                self.add(part.name, "series", at, len(series))
                for line in series:
                    if line.startswith("flashsale_backlog_orders "):
                        self.add(part.name, "backlog", at, float(line.split()[1]))

    @contextmanager
    def taken(self, parts: Sequence[Component]) -> Iterator[None]:
        """Sample in a thread while the context is entered."""
        left = threading.Event()

        def run() -> None:
            while not left.wait(SAMPLE_SECONDS):
                self.look(parts)

        thread = threading.Thread(target=run, name="samples")
        thread.start()
        try:
            yield
        finally:
            left.set()
            thread.join()


def _resources(processes: Sequence[psutil.Process]) -> dict[str, float]:
    """Return the sum over the processes. Shared memory counts once, ended processes count 0."""
    own, shared, fds, connections = 0, 0, 0, 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            memory = process.memory_info()
            own += memory.rss - memory.shared
            shared = max(shared, memory.shared)
            fds += process.num_fds()
            connections += sum(
                found.status == psutil.CONN_ESTABLISHED for found in process.net_connections("inet")
            )
    return {"rss_mb": megabytes(own + shared), "fds": fds, "connections": connections}
