"""Accept all waiting connections at each turn of the event loop.

libuv accepts one connection a turn (https://github.com/libuv/libuv/pull/3696). That is too slow in
a spike: with hundreds of requests handled in each turn, new connections were accepted one by one,
and the last of some hundreds waited for ten seconds.

The end of a listening socket resets the connections that nobody has accepted, though their clients
may have sent a request. So the kernel first takes no new ones, and then all that wait are accepted.
"""

import asyncio
import ctypes
import errno
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

log = structlog.get_logger()

_BACKLOG = 4096  # connections that the kernel queues
_ACCEPTED_A_TURN = 256  # so that open connections have their turn, too
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_TLS_END_SECONDS = 1.0
_PAUSE_SECONDS = 1.0  # the same as in asyncio's own server

# A classic BPF program (https://docs.kernel.org/networking/filter.html) that drops each packet with
# the flag SYN, which begins a handshake.
_INSTRUCTION = struct.Struct("HBBI")
_DROP_SYN = b"".join(
    _INSTRUCTION.pack(*instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte at 13 of the TCP header: the flags
        (0x45, 0, 1, 0x02),  # skip one if SYN is not among them
        (0x06, 0, 0, 0),  # drop it
        (0x06, 0, 0, 0xFFFFFFFF),  # keep it
    )
)
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it

_Factory = Callable[[], asyncio.BaseProtocol]


@asynccontextmanager
async def accept_connections(
    host: str,
    port: int,
    protocol: _Factory,
    *,
    reuse_port: bool = False,
    handshake_seconds: float = 0.0,
    tls: Callable[[], ssl.SSLContext] | None = None,
    tls_seconds: float = 60.0,
) -> AsyncIterator[tuple[str, int]]:
    """Give each new connection a protocol, and yield the first address that is listened on.

    At the end the connections whose handshake has begun are accepted if it takes no longer than
    `handshake_seconds`, and no others; open ones stay open. Each new connection asks `tls` for its
    context, and has `tls_seconds` for the handshake of TLS. Raises `OSError` if the port is taken.
    """
    listeners: list[_Listener] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            server = socket.create_server(
                address[:2], family=family, backlog=_BACKLOG, reuse_port=reuse_port
            )
            listeners.append(_Listener(server, _Starting(protocol, tls, tls_seconds)))
        yield listeners[0].address
    finally:
        for listener in listeners:
            listener.refuse_new()
        if listeners:
            await asyncio.sleep(handshake_seconds)
        for listener in listeners:
            listener.close()


class _NoDescriptor(Exception):
    """This process, or the machine, has no file descriptor left for a connection."""


class _Starting:
    """Gives accepted sockets their protocols, after the handshake of TLS if there is one."""

    def __init__(
        self, protocol: _Factory, tls: Callable[[], ssl.SSLContext] | None, tls_seconds: float
    ) -> None:
        self._protocol = protocol
        self._tls = tls
        self._tls_seconds = tls_seconds

    async def start(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            if self._tls is None:
                await loop.connect_accepted_socket(self._protocol, connection)
            else:
                await loop.connect_accepted_socket(
                    self._protocol,
                    connection,
                    ssl=self._tls(),
                    ssl_handshake_timeout=self._tls_seconds,
                    ssl_shutdown_timeout=_TLS_END_SECONDS,
                )
        except OSError:
            connection.close()  # the client reset it, or did not agree on TLS


class _Listener:
    """A listening socket, and the connections that are being set up."""

    def __init__(self, server: socket.socket, start: _Starting) -> None:
        self._server = server
        self._start = start
        self._loop = asyncio.get_running_loop()
        self._starting: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        server.setblocking(False)
        self._resume()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._server.getsockname()[:2]
        return host, port

    def refuse_new(self) -> None:
        """Let the kernel finish the handshakes that it has begun, and begin no other one.

        A kernel may refuse the filter, by default or to all but root. Then connections come until
        the end, and a request that comes with the last of them may be reset.
        """
        filters = ctypes.create_string_buffer(_DROP_SYN)
        program = struct.pack("HP", len(_DROP_SYN) // _INSTRUCTION.size, ctypes.addressof(filters))
        try:
            self._server.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        except OSError as error:
            log.info("connections come until the end", reason=str(error))

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._server)
        # The kernel resets the connections that nobody has accepted.
        with suppress(_NoDescriptor):
            while self._accept_some():
                pass
        self._server.close()

    def _resume(self) -> None:
        self._loop.add_reader(self._server, self._accept)

    def _accept(self) -> None:
        try:
            self._accept_some()
        except _NoDescriptor as error:
            # New connections stay in the kernel's queue until another one has ended.
            log.warning("connections wait", error=str(error))
            self._loop.remove_reader(self._server)
            self._pause = self._loop.call_later(_PAUSE_SECONDS, self._resume)

    def _accept_some(self) -> bool:
        """Accept some connections; return whether more may wait. Raises `_NoDescriptor`."""
        for _ in range(_ACCEPTED_A_TURN):
            try:
                connection, _ = self._server.accept()
            except BlockingIOError:
                return False
            except ConnectionAbortedError:
                continue  # the client left while it waited
            except OSError as error:
                if error.errno not in _NO_DESCRIPTOR:
                    raise
                raise _NoDescriptor(str(error)) from error
            starting = self._loop.create_task(self._start.start(connection))
            self._starting.add(starting)
            starting.add_done_callback(self._starting.discard)
        return True
