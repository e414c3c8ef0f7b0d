"""A JSON response that is written to the socket in one piece."""

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, web

from gateway.http.common_headers import API, header_lines

_STATUS_LINES = {status.value: f"HTTP/1.1 {status} {status.phrase}" for status in HTTPStatus}
_WITHOUT_BODY = frozenset({204, 304})
_API_LINES = header_lines(API)


class JsonResponse(web.StreamResponse):
    """A response with a body that is known from the start, JSON unless `content_type` says other.

    aiohttp collects the headers of a response in a table and then serialises the table. For a small
    response that costs more than everything else, and ours have the same few headers every time.
    """

    def __init__(
        self,
        body: bytes,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        common: str = _API_LINES,
    ) -> None:
        """Add `headers` to the `common` ones. They must not hold anything that a client has sent.

        With the status 204 or 304 the body is not sent.
        """
        # The base class's __init__ would create tables that nothing here fills. This is all that
        # aiohttp reads.
        self._status = status
        self._whole_body = body
        self._extra = headers
        self._type = content_type
        self._common = common
        self._request: web.BaseRequest | None = None
        self._keep_alive = False

    @property
    def extra(self) -> Mapping[str, str]:
        """The headers beside the common ones."""
        return self._extra or {}

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Add more headers. They must not hold anything that a client has sent, unchecked."""
        self._extra = {**self.extra, **headers}

    async def prepare(self, request: web.BaseRequest) -> None:
        """Remember the request; `write_eof` does the writing."""
        self._request = request

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open after this response: as its head says."""
        return bool(self._keep_alive)

    async def write_eof(self, data: bytes = b"") -> None:
        """Write head and body. Raises `ConnectionError` if the client is gone."""
        if self._request is not None:
            await self._request.writer.write_eof(self.whole(self._request) + data)

    def whole(self, request: web.BaseRequest) -> bytes:
        """Return the response as it is sent to answer this request."""
        head = self._lines()
        connection: Any = request.protocol  # a gateway.server.connection.Connection
        # Once: the gateway may be told to stop between this and aiohttp's own question.
        self._keep_alive = request.keep_alive and not connection.closes
        if not self._keep_alive:
            head += "Connection: close\r\n"
        elif request.version < HttpVersion11:
            head += "Connection: keep-alive\r\n"
        if request.method == "HEAD" or self._status in _WITHOUT_BODY:
            return f"{head}\r\n".encode()
        return f"{head}\r\n".encode() + self._whole_body

    def last_bytes(self) -> bytes:
        """Return the response as it is sent if no request is there, before a connection closes."""
        return f"{self._lines()}Connection: close\r\n\r\n".encode() + self._whole_body

    def _lines(self) -> str:
        head = f"{_STATUS_LINES[self._status]}\r\nDate: {_date(int(time.time()))}\r\n{self._common}"
        if self._status not in _WITHOUT_BODY:
            head += f"Content-Type: {self._type}\r\nContent-Length: {len(self._whole_body)}\r\n"
        if self._extra is not None:
            for name, value in self._extra.items():
                head += f"{name}: {value}\r\n"
        return head


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
