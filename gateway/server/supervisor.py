"""Run several gateway processes on one port, with one `/metrics` for all of them."""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Metric
from prometheus_client.registry import Collector

from flashsale.domain.backoff import Backoff
from flashsale.observability.monitoring import LoopMonitor, monitored
from flashsale.runtime.background import Background
from flashsale.runtime.settings import PREFIX, Settings
from gateway.server.counts_file import CountsFile
from gateway.server.worker_metrics import Family, Page, add_pages, later_counts, read_page

log = structlog.get_logger()

# A worker writes messages to its parent: a length and a `/metrics` page. The first one is empty and
# means that the worker serves.
LENGTH = struct.Struct(">I")
READY = b""

_ANSWER_SECONDS = 1.0
_LAST_WORK_SECONDS = 15.0
_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 5.0


async def run_workers(settings: Settings, metrics_port: int, stop: asyncio.Event) -> None:
    """Run `settings.gateway_workers` processes until `stop`, and restart each one that dies.

    Raises `OSError` if a port is taken, `ChildProcessError` if no worker starts.
    """
    registry = CollectorRegistry()
    with _reserved(settings.gateway_host, settings.gateway_port) as port:
        crew = Crew({**os.environ, f"{PREFIX}GATEWAY_PORT": str(port)}, registry)
        # The loop metrics are those of the workers: clients wait for their loops, not for this one.
        own = LoopMonitor(CollectorRegistry())
        patience = settings.shutdown_seconds + _LAST_WORK_SECONDS
        async with Background() as background:
            tasks = CrewTasks(background, crew)
            async with monitored(
                registry, settings.metrics_host, metrics_port, tasks, loop_monitor=own
            ):
                await crew.run(settings.gateway_workers, patience, stop)


class Worker:
    """A worker process, as its parent sees it."""

    def __init__(self, process: asyncio.subprocess.Process, counts: CountsFile) -> None:
        """Take over a process that keeps its counts in that file."""
        self._process = process
        self._counts = counts
        self._latest: Page = {}
        self._ready = asyncio.create_task(self._read(), name="worker's readiness")
        self._asked: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, environment: Mapping[str, str]) -> "Worker":
        """Start a worker process with that environment."""
        counts = CountsFile.create()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway.worker", str(counts.descriptor)),
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=(counts.descriptor,),
            )
        except BaseException:
            counts.close()
            raise
        return cls(process, counts)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def was_ready(self) -> bool:
        """Whether it has ever served."""
        return self._ready.done() and not self._ready.cancelled() and not self._ready.exception()

    async def page(self) -> Page:
        """Return its metrics; the latest known ones if it does not answer within a second."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._ask(), name="worker's metrics")
        await asyncio.wait((self._asked,), timeout=_ANSWER_SECONDS)
        return self._latest

    async def ended(self) -> int:
        """Wait for its end, and return the exit code."""
        return await self._process.wait()

    async def stop(self, patience: float) -> Page:
        """Ask it to end, and kill it after `patience` seconds; return what it had counted."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(patience):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        for task in (self._ready, self._asked):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        counted = read_page(self._counts.read().decode())
        self._counts.close()
        # The latest answer may be the later one. Less than was shown would look like a restart.
        return later_counts(self._latest, counted)

    async def _ask(self) -> None:
        try:
            await asyncio.shield(self._ready)
            assert self._process.stdin is not None  # noqa: S101 it was started with one
            self._process.stdin.write(b"\n")
            self._latest = read_page((await self._read()).decode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it is gone; the task that waits for its end handles that

    async def _read(self) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 it was started with one
        (length,) = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))
        return await self._process.stdout.readexactly(length)


class Crew(Collector):
    """The workers of a gateway, and their metrics added up."""

    def __init__(self, environment: Mapping[str, str], registry: CollectorRegistry) -> None:
        """Start workers with that environment, and register the sum of their metrics."""
        self._environment = environment
        self._loop = asyncio.get_running_loop()
        self._workers: set[Worker] = set()
        self._gone: dict[str, Family] = {}
        registry.register(self)
        self._running = Gauge(
            "flashsale_gateway_workers", "Worker processes that run", registry=registry
        )
        self._running.set_function(lambda: len(self._workers))
        self._restarts = Counter(
            "flashsale_gateway_worker_restarts",
            "Workers started again after one died",
            registry=registry,
        )

    async def run(self, count: int, patience: float, stop: asyncio.Event) -> None:
        """Keep `count` workers running until `stop`; they may take `patience` seconds to end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(count):
                    tasks.create_task(self._keep_one(patience, stop), name="keeps a worker")
        except* ChildProcessError as failed:
            raise failed.exceptions[0] from None  # they all fail for the same reason

    def collect(self) -> Iterator[Metric]:
        """Return the sum of the workers' metrics. Prometheus calls it in another thread."""
        asked = asyncio.run_coroutine_threadsafe(self._total(), self._loop)
        for family in asked.result(2 * _ANSWER_SECONDS).values():
            yield family.as_metric()

    def troubles(self) -> Mapping[str, str]:
        """Return the background tasks that are failing in any worker. Not for the loop's thread."""
        asked = asyncio.run_coroutine_threadsafe(self._total(), self._loop)
        failing = asked.result(2 * _ANSWER_SECONDS).get("flashsale_background_task_failing")
        samples = failing.samples if failing is not None else {}
        return {
            dict(labels)["task"]: "ended in a worker"
            for (_, labels), value in samples.items()
            if value
        }

    async def _total(self) -> Page:
        return add_pages([self._gone, *await asyncio.gather(*(w.page() for w in self._workers))])

    async def _keep_one(self, patience: float, stop: asyncio.Event) -> None:
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        started = False
        while not stop.is_set():
            worker = await Worker.start(self._environment)
            self._workers.add(worker)
            try:
                code = await _ended(worker, stop)
            finally:
                counted = await worker.stop(patience)
                self._workers.discard(worker)
                self._gone = add_pages([self._gone, counted])
            if code is None:
                return
            if worker.was_ready:
                started = True
                backoff.reset()
            # An end by a signal, as from a kernel without memory, is no reason to give up.
            elif not started and code >= 0:
                raise ChildProcessError(
                    "a gateway worker did not start; its error is in the log above"
                )
            log.warning("gateway worker ended", pid=worker.pid, code=code)
            self._restarts.inc()
            await asyncio.sleep(backoff.next())


class CrewTasks:
    """The background tasks of a gateway: those of its parent and of all workers."""

    def __init__(self, background: Background, crew: Crew) -> None:
        self.start = background.start
        self._own = background
        self._crew = crew

    def troubles(self) -> Mapping[str, str]:
        """Return why tasks are failing now, by name. Not for the event loop's thread."""
        return {**self._own.troubles(), **self._crew.troubles()}


async def _ended(worker: Worker, stop: asyncio.Event) -> int | None:
    """Wait for the worker's end or for `stop`; return the exit code, or None after `stop`."""
    ending = asyncio.create_task(worker.ended())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((ending, stopping), return_when=asyncio.FIRST_COMPLETED)
        return None if stop.is_set() else ending.result()
    finally:
        ending.cancel()
        stopping.cancel()


@contextmanager
def _reserved(host: str, port: int) -> Iterator[int]:
    """Hold a port for the workers to share, and yield its number. Port 0 takes a free one.

    With SO_REUSEPORT any process of this user may share a port, so a plain bind first checks that
    no process has it. Raises `OSError`.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe, socket.socket(family, kind) as holder:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            chosen = probe.getsockname()
            probe.close()
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind(chosen)
        except OSError as error:
            raise OSError(f"can't listen on {host} port {port}: {error.strerror}") from error
        yield int(chosen[1])
