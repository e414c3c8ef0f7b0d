"""Accept all waiting connections at each turn of the event loop.

libuv accepts one connection a turn (https://github.com/libuv/libuv/pull/3696). That is too slow in
a spike: with hundreds of requests handled in each turn, new connections were accepted one by one,
and the last of some hundreds waited for ten seconds.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger()

_BACKLOG = 4096  # connections that the kernel queues
_ACCEPTED_A_TURN = 256  # so that open connections have their turn, too
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_SECONDS = 1.0  # the same as in asyncio's own server

_Factory = Callable[[], asyncio.BaseProtocol]


@contextmanager
def accept_connections(
    host: str, port: int, protocol: _Factory, *, reuse_port: bool = False
) -> Iterator[tuple[str, int]]:
    """Give each new connection a protocol, and yield the first address that is listened on.

    At the end no connection is accepted any more; open ones stay open. Raises `OSError` if the port
    is taken.
    """
    listeners: list[_Listener] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            server = socket.create_server(
                address[:2], family=family, backlog=_BACKLOG, reuse_port=reuse_port
            )
            listeners.append(_Listener(server, protocol))
        yield listeners[0].address
    finally:
        for listener in listeners:
            listener.close()


class _Listener:
    """A listening socket, and the connections that are being set up."""

    def __init__(self, server: socket.socket, protocol: _Factory) -> None:
        self._server = server
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._starting: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        server.setblocking(False)
        self._resume()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._server.getsockname()[:2]
        return host, port

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._server)
        self._server.close()

    def _resume(self) -> None:
        self._loop.add_reader(self._server, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_A_TURN):
            try:
                connection, _ = self._server.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue  # the client left while it waited
            except OSError as error:
                if error.errno not in _NO_DESCRIPTOR:
                    raise
                # New connections stay in the kernel's queue until another one has ended.
                log.warning("connections wait", error=str(error))
                self._loop.remove_reader(self._server)
                self._pause = self._loop.call_later(_PAUSE_SECONDS, self._resume)
                return
            starting = self._loop.create_task(self._start(connection))
            self._starting.add(starting)
            starting.add_done_callback(self._starting.discard)

    async def _start(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()  # the client reset it
