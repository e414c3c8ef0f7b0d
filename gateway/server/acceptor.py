"""Listening for shoppers: all who wait at the door come in at each turn of the event loop.

libuv accepts one connection a turn (https://github.com/libuv/libuv/pull/3696). That is enough until
a spike: with hundreds of requests in each turn the next shoppers would be let in one by one, and
the last of some hundreds waited for ten seconds.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger()

_BACKLOG = 4096  # connections that the kernel keeps for us
_ACCEPTED_A_TURN = 256  # those who are in have their turn, too
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_SECONDS = 1.0  # as asyncio's own server

_Factory = Callable[[], asyncio.BaseProtocol]


@contextmanager
def listening(
    host: str, port: int, protocol: _Factory, *, reuse_port: bool = False
) -> Iterator[tuple[str, int]]:
    """Give each connection a protocol; the first address that is listened at.

    At the end nobody is let in, and who is in stays. Raises `OSError` if the port is taken.
    """
    doors: list[_Door] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            listener = socket.create_server(
                address[:2], family=family, backlog=_BACKLOG, reuse_port=reuse_port
            )
            doors.append(_Door(listener, protocol))
        yield doors[0].address
    finally:
        for door in doors:
            door.close()


class _Door:
    """A socket that listens, and those who come in just now."""

    def __init__(self, listener: socket.socket, protocol: _Factory) -> None:
        self._listener = listener
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._open()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listener.getsockname()[:2]
        return host, port

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _open(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_A_TURN):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue  # gone while waiting
            except OSError as error:
                if error.errno not in _NO_DESCRIPTOR:
                    raise
                # Who waits stays in the kernel's queue until somebody has left.
                log.warning("connections wait", error=str(error))
                self._loop.remove_reader(self._listener)
                self._pause = self._loop.call_later(_PAUSE_SECONDS, self._open)
                return
            entering = self._loop.create_task(self._enter(connection))
            self._entering.add(entering)
            entering.add_done_callback(self._entering.discard)

    async def _enter(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()  # reset before it was in
