"""One connection of a client: aiohttp's protocol, with errors as problems and an orderly end."""

import array
import asyncio
import fcntl
import termios
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD

from gateway.http.json_response import JsonResponse
from gateway.http.problems import MAX_HEAD_BYTES, Problem, http_problem
from gateway.http.unreadable import unreadable_problem
from gateway.server.direct_answers import DirectAnswers

if TYPE_CHECKING:
    from gateway.server.connections import Connections

log = structlog.get_logger()

_LINGER_SECONDS = 1.0
_MOST_REFUSED = 10

_STREAM_PATH = "/events"
_LINE_ENDS = b"\r\n"  # RFC 9112 2.2: some clients send one after a body


class Connection(DirectAnswers):
    """A connection. Every answer that it sends by itself is a problem, too."""

    __slots__ = (
        "_client",
        "_connections",
        "_cors_headers",
        "_head_bytes",
        "_last",
        "_latest_body",
        "_lifecycle",
        "_lingers",
        "_lost",
        "_when_lost",
        "head_may_be_large",
    )

    def __init__(self, server: web.Server, connections: "Connections", **options: Any) -> None:
        super().__init__(server, **options)
        self._connections = connections
        self._lifecycle = connections.lifecycle
        # Whose connection is counted, if those of each client are limited.
        self._client: bytes | None = None
        # For the answer to a request that could not be read.
        self._cors_headers: Mapping[str, str] = {}
        self._latest_body: StreamReader = EMPTY_PAYLOAD
        # What has come since the last request was whole.
        self._head_bytes = 0
        self.head_may_be_large = False
        """Whether the head of the latest request needs to be measured."""
        self._last = False
        self._lingers = False
        self._lost: asyncio.Future[None] | None = None
        self._when_lost: Callable[[], None] | None = None

    @property
    def closes(self) -> bool:
        """Whether the connection closes after the answer that is sent next."""
        return self._last or self._close or self._lifecycle.stopping

    @property
    def hears_nothing(self) -> bool:
        """Whether the client sends nothing more: most likely it is gone."""
        return self._close

    def close_after_answer(self) -> None:
        """Close the connection after the next answer: the rest of the request can't be read."""
        self._last = True

    def end_after_answer(self) -> None:
        """Close the connection after the next answer, and do not wait for the rest of its body."""
        self._last = self._lingers = True

    def when_lost(self, call: Callable[[], None]) -> None:
        """Call this once the connection is gone."""
        self._when_lost = call

    @property
    def requests(self) -> int:
        """The number of requests that have come, those that could not be read included."""
        return self._request_count

    @property
    def peer(self) -> str | None:
        """The address of the client."""
        name = self.peername
        return name[0] if isinstance(name, tuple) else name

    @property
    def waits(self) -> bool:
        """Whether every request that has come is answered, and the next one is not whole yet."""
        if self._waiter is not None:
            return not (self._waiter.done() or self._answering or self._messages)
        # The first bytes may come, as after a handshake of TLS, before the task has begun to wait.
        return not self._request_count and not self._close

    @property
    def unread(self) -> bool:
        """Whether the kernel has bytes of this connection that were not read yet."""
        if self.transport is None:
            return False
        count = array.array("i", [0])
        try:
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.FIONREAD, count)
        except OSError:
            return False  # it is closed
        return count[0] > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read; refuse the connection if its client has too many."""
        super().connection_made(transport)
        of_clients = self._connections.of_clients
        if of_clients is None or (client := of_clients.client(self.peer)) is None:
            return
        self._client = client
        excess = of_clients.opened(client) - of_clients.most
        if excess > _MOST_REFUSED:
            # The refused ones linger until their clients have read why.
            self.force_close()
        elif excess > 0:
            self._connections.refuse_one_more(self, of_clients.most)

    def data_received(self, data: bytes) -> None:
        """Read what has come, and remember since when a part of a request is here."""
        super().data_received(data)
        self._count_head(len(data))
        if self._messages:
            self._latest_body = self._messages[-1][1]
        cors = self._connections.cors
        if cors:
            unread = self.waits or self._refused
            self._cors_headers = cors.headers_of_unreadable(data) if unread else {}
        if self._messages:
            self.answer_next()
        elif self.waits and data.strip(_LINE_ENDS):
            self._connections.part_came(self)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read on, if reading was paused.

        aiohttp calls this for each body that is read, and parses nothing once more, paused or not.
        """
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _count_head(self, came: int) -> None:
        self._head_bytes += came
        over = self._head_bytes > MAX_HEAD_BYTES
        if not self.waits:
            self.head_may_be_large, self._head_bytes = over, 0
        elif over:
            self._connections.refuse_large(self)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a whole request though its client sends nothing more; then the connection ends.

        A stream ends at once, as its reader is most likely gone, and so does a connection by TLS:
        that has no half that goes on.
        """
        if self.transport is None or self.transport.get_extra_info("sslcontext") is not None:
            return False
        request = self._current_request
        streams = request is not None and request.path.endswith(_STREAM_PATH)
        if self.waits or streams or not self._latest_body.is_eof():
            return False
        self.close()
        return True

    def refuse(self, problem: Problem) -> None:
        """Send a problem, though no request is whole, and close."""
        if self.transport is not None:
            self.transport.write(self._response(problem).last_bytes())
        self._end_answers()
        self._loop.call_later(_LINGER_SECONDS, self.force_close)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the problem for an error that no handler has seen.

        Raises `ConnectionError` if a part of another answer was sent.
        """
        if status < 500:
            problem = unreadable_problem(exc)
            self._connections.unreadable(type(exc).__name__, request.remote)
        else:
            log.error("request failed", exc_info=exc)
            problem = Problem("internal", "The failure was logged.")
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer was sent")
        self._last = self._lingers = True
        self._connections.answered("other", problem.status)
        return self._response(problem)

    @property
    def _refused(self) -> bool:
        """Whether the latest thing that came is no request."""
        return bool(self._messages) and not isinstance(self._messages[-1][0], RawRequestMessage)

    def _response(self, problem: Problem) -> JsonResponse:
        response = problem.response()
        response.add_headers(self._cors_headers)
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log an error that no handler has seen; one in what the client sent is only counted."""
        error = kw.get("exc_info")
        if isinstance(error, (HttpProcessingError, web.RequestPayloadError)):
            self._connections.unreadable(type(error).__name__, self.peer)
        else:
            log.error("request failed", reason=args[0], exc_info=error)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer. An error of aiohttp that no middleware has seen becomes a problem.

        Return the answer, and whether the client is gone.
        """
        if isinstance(resp, web.HTTPException):
            # The body that comes, or does not, after an `Expect` that was refused is not read.
            self._last = True
            resp = http_problem(resp).response()
            if isinstance(request, web.Request):
                self._connections.cors.answer(request, resp)
            self._connections.answered(request.method, resp.status)
        if isinstance(resp, JsonResponse) and not self._upgraded:
            lost = not await self._write(resp.whole(request))
        else:
            resp, lost = await super().finish_response(request, resp, start_time)
        if self._lingers:
            await self._linger()
        return resp, lost

    async def _write(self, data: bytes) -> bool:
        """Send a whole answer; return whether the client is still there.

        Wait while a client that does not read has more than enough to read.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        transport.write(data)
        if self._paused:
            try:
                await self._drain_helper()
            except ConnectionError:
                return False
        return True

    async def _linger(self) -> None:
        self._end_answers()
        if self.connected:
            self._lost = self._loop.create_future()
            await asyncio.wait((self._lost,), timeout=_LINGER_SECONDS)
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note that the connection is gone."""
        super().connection_lost(exc)
        if self._when_lost is not None:
            self._when_lost()
        if self._client is not None and self._connections.of_clients is not None:
            self._connections.of_clients.closed(self._client)
            self._client = None
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    def _end_answers(self) -> None:
        """End the answers and drop what comes.

        To close at once with bytes unread is a reset, by which the client may lose the answer.
        """
        self.close()
        transport = self.transport
        # TLS has no half of a connection that ends before the other one.
        if transport is not None and not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()
