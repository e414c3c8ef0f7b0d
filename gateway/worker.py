"""One worker of a gateway: `gateway.server.supervisor` starts `python -m gateway.worker FILE`.

It writes `READY` to its standard output once it serves, and answers each line on its standard input
with its metrics. What it counts it keeps in the open file whose descriptor is `FILE`. It stops when
its input ends: then the parent asks it to stop, or is dead.
"""

import asyncio
import sys

from prometheus_client import CollectorRegistry, generate_latest

from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.observability.monitoring import LoopMonitor
from flashsale.runtime.background import Background
from flashsale.runtime.process import run, settings_or_fail
from flashsale.runtime.settings import Settings
from gateway.app import serve_gateway
from gateway.server.counts_file import CountsFile, KeptCounts
from gateway.server.supervisor import LENGTH, READY


def main() -> None:
    """Run until the input ends."""
    settings = settings_or_fail()
    run(lambda stop: _work(settings, stop))


async def _work(settings: Settings, stop: asyncio.Event) -> None:
    metrics = GatewayMetrics()
    async with Background(metrics.registry) as background:
        background.start("pulse", LoopMonitor(metrics.registry).run)
        # Without its parent a worker has no metrics and nobody who stops it.
        background.start(
            "talk to the parent",
            lambda: _talk(metrics.registry, stop),
            until=stop,
            essential=True,
        )
        counts = KeptCounts(metrics.registry, CountsFile(int(sys.argv[1])))
        background.start("counts kept", counts.run)
        try:
            await serve_gateway(settings, metrics, background, stop, on_ready=lambda: _tell(READY))
        finally:
            counts.write()


async def _talk(registry: CollectorRegistry, stop: asyncio.Event) -> None:
    questions = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(questions), sys.stdin
    )
    try:
        while await questions.readline():
            await asyncio.to_thread(lambda: _tell(generate_latest(registry)))
    except BrokenPipeError:
        pass  # the parent died before it got the answer
    finally:
        stop.set()


def _tell(message: bytes) -> None:
    sys.stdout.buffer.write(LENGTH.pack(len(message)) + message)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
