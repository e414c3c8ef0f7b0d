"""The connections of a load generator: HTTP/1.1, kept alive, growing while all are busy."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

Answered = Callable[[int, int], None]
"""Called with the number of a request and the status of its answer; 0 if the connection broke."""


class Connections:
    """Sends each request at once, over an idle connection or a new one, up to a limit.

    It prefers the idle connection that was used last, to keep their number small.
    """

    def __init__(self, host: str, port: int, limit: int, answered: Answered) -> None:
        self._host = host
        self._port = port
        self._limit = limit
        self._answered = answered
        self._open: set[_Connection] = set()
        self._idle: list[_Connection] = []
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = asyncio.Event()
        self.most = 0
        self.held = 0

    async def open_one(self) -> None:
        """Open a connection. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _Connection(self), self._host, self._port)

    def send(self, number: int, request: bytes) -> None:
        """Send the request, or queue it for the next free connection."""
        if self._idle:
            self._idle.pop().send(number, request)
            return
        self._waiting.append((number, request))
        if len(self._open) + len(self._opening) < self._limit:
            self._grow()
        else:
            self.held += 1

    async def close(self) -> None:
        """Close all connections, without waiting for answers."""
        self._limit = 0
        self._waiting.clear()
        self._idle.clear()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in self._open:
            connection.abort()
        if self._open:
            self._closed.clear()  # it is set if all connections broke before
            await self._closed.wait()

    def _grow(self) -> None:
        task = asyncio.create_task(self._try_to_open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _try_to_open(self) -> None:
        try:
            await self.open_one()
        except OSError:
            # No connection can be opened: the request fails, as it would for a shopper.
            if self._waiting:
                self._answered(self._waiting.popleft()[0], 0)

    def opened(self, connection: "_Connection") -> None:
        """Add an open connection."""
        self._open.add(connection)
        self.most = max(self.most, len(self._open))
        self.rest(connection)

    def rest(self, connection: "_Connection") -> None:
        """Give an idle connection the next queued request, or keep it for later."""
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._idle.append(connection)

    def answer(self, number: int, status: int) -> None:
        """Pass on an answer."""
        self._answered(number, status)

    def lost(self, connection: "_Connection", number: int | None) -> None:
        """Remove a closed connection; fail its request `number` if it had one."""
        self._open.discard(connection)
        if not self._open:
            self._closed.set()
        if connection in self._idle:
            self._idle.remove(connection)
        if number is not None:
            self._answered(number, 0)
        if self._waiting and len(self._open) + len(self._opening) < self._limit:
            self._grow()


class _Connection(asyncio.Protocol):
    """A connection with at most one request in flight."""

    _transport: asyncio.Transport

    def __init__(self, owner: Connections) -> None:
        self._owner = owner
        self._number: int | None = None
        self._received = b""

    def send(self, number: int, request: bytes) -> None:
        self._number = number
        self._transport.write(request)

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        number = self._number
        try:
            answer = read_answer(self._received)
        except ValueError:
            self.abort()
            return
        if answer is None:
            return
        status, stays_open = answer
        self._received = b""
        self._number = None
        if number is not None:  # without a request a server may announce that it closes
            self._owner.answer(number, status)
        if number is not None and stays_open:
            self._owner.rest(self)
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.lost(self, self._number)


def read_answer(received: bytes) -> tuple[int, bool] | None:
    """Return status and whether the connection stays open; None while the answer is incomplete.

    Parse only answers with a Content-Length, as JSON servers send. Raises `ValueError` for others,
    such as chunked ones.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if not head.startswith(b"http/1.1 ") or at < 0:
        raise ValueError(f"not an answer with a length: {received[:200]!r}")
    length = int(head[at + 17 :].split(b"\r\n", 1)[0])
    if len(received) < end + 4 + length:
        return None
    return int(head[9:12]), b"\r\nconnection: close" not in head
