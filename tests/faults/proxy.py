"""A TCP proxy on one link, which does to it what networks do.

async with proxy(port) as link:
    ...                            # clients connect to link.port
    link.back.silent = True        # answers no longer arrive; nobody is told
    link.heal()
"""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_READ_BYTES = 1 << 16
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: close() sends RST


@dataclass
class Flow:
    """One direction of a link, on all of its connections."""

    delay: float = 0.0
    """Seconds that every piece takes longer."""
    slice: int = _READ_BYTES
    """Bytes that arrive at a time."""
    limit: float = 0.0
    """Bytes a second; 0 is no limit."""
    silent: bool = False
    """Nothing arrives, and the sender is not told."""
    watch: Callable[["Connection", bytes], None] | None = None
    """Sees every piece before it is passed on."""


@dataclass(eq=False)
class Connection:
    """A connection through a proxy: who connected, and the server behind it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    lost: bool = field(default=False)
    """What the server says from now on doesn't arrive."""

    def reset(self) -> None:
        """End it with RST at both ends."""
        _reset(self.client)
        _reset(self.server)

    def close(self) -> None:
        """End it with FIN at both ends."""
        self.client.close()
        self.server.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


class Proxy:
    """Passes on what comes to `port`; `there` is towards the server, `back` from it."""

    def __init__(self, target: Callable[[], int]) -> None:
        self.port = 0
        self.there = Flow()
        self.back = Flow()
        self.refusing = False
        self.connections: set[Connection] = set()
        self._target = target
        self._changed = asyncio.Event()

    def heal(self) -> None:
        """Be as if it were not there, from now on."""
        self.there = Flow()
        self.back = Flow()
        self.refusing = False

    def silence(self) -> None:
        """Pass nothing on, in either direction, as if the cable were pulled."""
        self.there.silent = self.back.silent = True

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        self.refusing = True
        for connection in list(self.connections):
            connection.close()

    def reset(self) -> None:
        """End all connections by RST; new ones get through."""
        for connection in list(self.connections):
            connection.reset()

    async def serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Pass on a connection until one of its ends closes it."""
        if self.refusing:
            _reset(client)
            return
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self._target())
        except OSError:
            _reset(client)
            return
        connection = Connection(client, server)
        self.connections.add(connection)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(connection, reader, server, back=False))
                pumps.create_task(self._pump(connection, answers, client, back=True))
        except* OSError:
            pass  # one end is gone; so is the other now
        finally:
            self.connections.discard(connection)
            connection.close()

    async def _pump(
        self,
        connection: Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: bool,
    ) -> None:
        while data := await reader.read(_READ_BYTES):
            flow = self.back if back else self.there
            if flow.watch is not None:
                flow.watch(connection, data)
            while (flow := self.back if back else self.there).silent or (back and connection.lost):
                await asyncio.sleep(0.01)
                if writer.is_closing():
                    return
            for start in range(0, len(data), flow.slice):
                piece = data[start : start + flow.slice]
                await asyncio.sleep(flow.delay + (len(piece) / flow.limit if flow.limit else 0))
                writer.write(piece)
                await writer.drain()
        writer.close()
        raise ConnectionResetError  # ends the other direction, too


@asynccontextmanager
async def proxy(target: Callable[[], int]) -> AsyncIterator[Proxy]:
    """A proxy to the port on this machine that `target` tells at each connection."""
    link = Proxy(target)
    server = await asyncio.start_server(link.serve, "127.0.0.1", 0, limit=_READ_BYTES)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        link.reset()
        await server.wait_closed()
        deadline = time.monotonic() + 5
        while link.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
