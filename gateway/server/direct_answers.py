"""Answer the requests of one hot address in one task each, started as soon as they are read.

aiohttp has a task for each connection. For each request that task is woken, starts another one, and
waits for it. A request that has come alone and as a whole needs only the other one. All other
requests of the connection are aiohttp's, before it and after it.
"""

import asyncio
import sys
from typing import Any

from aiohttp import web
from aiohttp.http import RawRequestMessage, StreamWriter

from gateway.server.direct_route import DirectRoute

_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class DirectAnswers(web.RequestHandler):
    """aiohttp's protocol of a connection, past its task for some requests.

    It relies on private names of aiohttp, so pyproject.toml pins the minor version.
    """

    __slots__ = ("_answer", "_answering", "_direct")

    def __init__(self, server: web.Server, direct: DirectRoute, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._direct = direct
        self._answering = False
        self._answer: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        """Parse what has come; `answer_next` has to follow."""
        # aiohttp would wake the task of the connection for it.
        waiter, self._waiter = self._waiter, None
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter

    def answer_next(self) -> None:
        """Begin to answer the next request that has come, unless one is being answered."""
        waiter = self._waiter
        if not self._messages or waiter is None or waiter.done() or self._answering:
            return
        message, payload = self._messages[0]
        if (
            len(self._messages) > 1
            or not isinstance(message, RawRequestMessage)
            or not payload.is_eof()
            or self._upgraded
            or not self._direct.takes(message)
        ):
            waiter.set_result(None)
            return
        # What the task of the connection does for each request.
        connection: Any = self  # not lost, so nothing is None
        self._messages.clear()
        connection._parser.message_consumed()
        connection._manager.requests_count += 1
        writer = StreamWriter(self, self._loop)
        request = connection._request_factory(message, payload, self, writer, self._task_handler)
        self._answering = True
        self._answer = asyncio.Task(self._answer_directly(request), loop=self._loop, **_EAGER)

    async def _answer_directly(self, request: web.BaseRequest) -> None:
        lost = True
        try:
            response, lost = await self._handle_request(request, None, self._direct.handle)
        except ConnectionError:
            self.log_debug("the client is gone")
        except Exception as error:
            self.log_exception("Unhandled exception", exc_info=error)
        finally:
            self._answering = False
            self._answer = None
            if lost:
                self.force_close()
        if lost or self._force_close:
            return
        if self._close or not response.keep_alive:
            self.close()
            if self.transport is not None:
                self.transport.close()  # once all is sent
            return
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        # What has come meanwhile is aiohttp's: a task from here would see what this one has set.
        if self._messages and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _process_keepalive(self) -> None:
        if not self._answering:
            super()._process_keepalive()
            return
        close_time = self._loop.time() + self._keepalive_timeout
        self._keepalive_handle = self._loop.call_at(close_time, self._process_keepalive)

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Wait for an answer up to `timeout` seconds, then cancel it and close the connection."""
        answer = self._answer
        if answer is not None and not answer.done():
            await asyncio.wait((answer,), timeout=timeout)
        await super().shutdown(timeout)
        if answer is not None:
            answer.cancel()
