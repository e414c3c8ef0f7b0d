"""Exchanges with a receiver: a request is sent on a connection of the pool, its answer is read.

aiohttp's client session does more for each request than an exchange with one address needs:
cookies, redirects, proxies, middlewares, a task that writes the body. That was a third of the
processor time of a drain. So this takes aiohttp's connections and its parser, and writes the
request itself.
"""

import asyncio
from collections.abc import Mapping

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.streams import StreamReader
from multidict import CIMultiDictProxy
from yarl import URL

_SWITCHING_PROTOCOLS = 101


class Reply:
    """The whole answer to a request, or as much of it as is read."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: CIMultiDictProxy[str], body: bytes | None) -> None:
        """`body` is None if it is longer than wanted."""
        self.status = status
        self.headers = headers
        self.body = body


class Exchanges:
    """Posts to one address, on connections that are kept.

    No redirect is followed, no cookie is kept, nothing is sent twice, and a body is not
    decompressed.
    """

    def __init__(
        self,
        connector: aiohttp.TCPConnector,
        url: URL,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
    ) -> None:
        """Post to `url` with these headers, within `timeout.total` from start to end."""
        self._connector = connector
        self._timeout = timeout
        # By this the connector knows the address. It has the Host, and credentials of the URL.
        self._target = ClientRequest("POST", url, headers=headers, loop=asyncio.get_running_loop())
        constant = self._target.headers.copy()
        constant.popall("Content-Length", None)
        self._head = f"POST {url.raw_path_qs} HTTP/1.1\r\n{_lines(constant)}"

    async def post(self, headers: Mapping[str, str], body: bytes, most: int) -> Reply:
        """Send a request; return the answer, with a body of at most `most` bytes.

        The connection of a longer answer is closed. Raises `aiohttp.ClientError`, `OSError`,
        `HttpProcessingError` for what is no HTTP, or `ValueError` for a header that would be
        several.
        """
        request = f"{self._head}{_lines(headers)}Content-Length: {len(body)}\r\n\r\n".encode()
        async with asyncio.timeout(self._timeout.total):
            connection = await self._connect()
            try:
                assert connection.protocol is not None  # noqa: S101 it is not released
                reply = await _exchange(connection.protocol, request + body, most)
            except BaseException:
                connection.close()
                raise
        # It is closed if there is more in it, or if the receiver wants that.
        connection.release()
        return reply

    async def _connect(self) -> Connection:
        try:
            return await self._connector.connect(self._target, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error


async def _exchange(protocol: ResponseHandler, request: bytes, most: int) -> Reply:
    assert protocol.transport is not None  # noqa: S101 it is connected
    protocol.set_response_params(read_until_eof=True, auto_decompress=False)
    protocol.transport.write(request)
    status = 100
    while 100 <= status < 200 and status != _SWITCHING_PROTOCOLS:  # others are interim answers
        message, content = await protocol.read()
        status = message.code
    body = await _body(content, most)
    if protocol.transport is not None and protocol.transport.get_write_buffer_size():
        protocol.force_close()  # it is answered before all of it was sent
    return Reply(status, message.headers, body)


async def _body(content: StreamReader, most: int) -> bytes | None:
    """Return the body, None if it is longer than `most` bytes."""
    body = await content.readany()
    if content.at_eof():
        return body
    parts, size = [body], len(body)
    while size <= most and not content.at_eof():
        part = await content.readany()
        parts.append(part)
        size += len(part)
    return b"".join(parts) if size <= most else None


def _lines(headers: Mapping[str, str]) -> str:
    """Return headers as they are sent. Raises `ValueError` for one that would be several."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if not lines.count("\r") == lines.count("\n") == len(headers):
        raise ValueError("a header has a line end")
    return lines
