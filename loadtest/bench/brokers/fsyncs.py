"""Count the system calls by which a server forces its files to the disk.

The server runs under strace, which follows all its threads and processes. With `--seccomp-bpf` the
kernel stops them only at the traced calls, so the server is about as fast as without, and groups as
many orders in one call. Time and processor time are measured in other runs.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.bench.brokers.closed_loop import NO_BOUND, closed_loop
from loadtest.bench.brokers.contenders import Contender
from loadtest.servers import ServerNotFound
from loadtest.servers.server import server_folder, started_by


async def fsyncs_per_1000(one: Contender, seconds: float) -> float:
    """Return the calls for 1,000 confirmed orders, with 64 in flight.

    Raises `ServerNotFound` without strace, and `ServerDidNotStart` if it may not trace.
    """
    with traced() as calls, one.run() as running:
        async with one.open(running.address, NO_BOUND) as queue:
            await closed_loop(queue, running.server, seconds=0.3, warm_up=0.2)
            before = _count(calls)
            loop = await closed_loop(queue, running.server, seconds, warm_up=0)
            return 1000 * (_count(calls) - before) / loop.confirmed


@contextmanager
def traced() -> Iterator[Path]:
    """Trace the servers that are started while the context is entered, into a file."""
    strace = shutil.which("strace")
    if strace is None:
        raise ServerNotFound("no strace here: install strace")
    with server_folder("strace") as folder:
        calls = folder / "calls"
        calls.touch()
        # The server stays our child: -D makes the tracer a process beside it.
        tracer = strace, "-D", "-f", "--seccomp-bpf", "-qq", "-e", "signal=none", "-o", str(calls)
        with started_by(*tracer, "-e", "trace=fsync,fdatasync,msync"):
            yield calls


def _count(calls: Path) -> int:
    # A call that another thread interrupts is written in two lines.
    return sum("resumed>" not in line for line in calls.read_text().splitlines())
