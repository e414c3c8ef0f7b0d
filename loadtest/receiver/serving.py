"""Serve an application until a signal, also while thousands of connections arrive."""

import asyncio
import signal
from typing import cast

from aiohttp import web

from gateway.server.acceptor import accept_connections


async def serve(app: web.Application, port: int) -> None:
    """Serve on loopback until SIGTERM or SIGINT. Raises `OSError` if the port is taken.

    Open requests are not waited for: this is a shop to try faults with.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        # aiohttp's own sites accept one connection a turn of the loop; see the module for why.
        protocol = cast("web.Server", runner.server)  # set by setup()
        async with accept_connections("127.0.0.1", port, protocol):
            await stop.wait()
    finally:
        await runner.cleanup()
