"""Server-sent events: open streams, and one message for all streams of a topic.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from aiohttp import web

from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.http.common_headers import API, header_lines

if TYPE_CHECKING:
    from gateway.server.connection import Connection

# Without a Content-Length the body ends with the connection, so that every stream gets the same
# bytes. Proxies must not hold events back: nginx reads X-Accel-Buffering, others compress nothing
# that is `no-transform`.
_HEAD = "HTTP/1.1 200 OK\r\n" + header_lines(
    {
        **API,
        "Cache-Control": "no-store, no-transform",
        "Content-Type": "text/event-stream",
        "Connection": "close",
        "X-Accel-Buffering": "no",
    }
)
_MOST_UNSENT_BYTES = 64 * 1024
_AT_ONCE = 250


def event(name: str, data: bytes, event_id: str | None = None) -> bytes:
    """Return one event. `data` must not contain a line break."""
    id_line = "" if event_id is None else f"id: {event_id}\n"
    return f"{id_line}event: {name}\ndata: ".encode() + data + b"\n\n"


class EventStream(web.StreamResponse):
    """An open stream. It ends if its reader does not keep up, so that no events pile up."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        """Add `headers` to the usual ones."""
        super().__init__()
        self._head = _HEAD + header_lines(headers or {})
        self._transport: asyncio.WriteTransport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.too_slow = False

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send the head, once. End the stream if the client is gone."""
        if self._transport is None:
            connection = cast("Connection", request.protocol)
            if request.transport is None or connection.hears_nothing:
                self.end()
                return
            self._transport = request.transport
            connection.when_lost(self.end)
            self._transport.write(f"{self._head}\r\n".encode())

    @property
    def keep_alive(self) -> bool:
        """False: the end of the connection is the end of the stream."""
        return False

    def send(self, events: bytes) -> None:
        """Send whole events. End the stream if its reader is gone or too slow."""
        transport = self._transport
        if transport is None or transport.is_closing():
            self.end()
        elif transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            self.too_slow = True
            transport.abort()
            self.end()
        else:
            transport.write(events)

    def end(self) -> None:
        """End the stream."""
        if not self.ended.done():
            self.ended.set_result(None)

    async def write_eof(self, data: bytes = b"") -> None:
        """Write nothing: the connection closes."""


class EventStreams:
    """All open streams, by topic."""

    def __init__(self, most: int, metrics: GatewayMetrics) -> None:
        """Keep at most `most` streams open."""
        self._most = most
        self._metrics = metrics
        self._topics: dict[str, set[EventStream]] = {}
        self._open = 0

    @property
    def full(self) -> bool:
        """Whether no further stream may be opened."""
        return self._open >= self._most

    def topics(self) -> list[str]:
        """Return the topics that have streams."""
        return list(self._topics)

    def has(self, topic: str) -> bool:
        """Return whether a topic has streams."""
        return topic in self._topics

    @contextmanager
    def listening(self, topic: str, stream: EventStream) -> Iterator[None]:
        """Send the stream everything that is broadcast to a topic."""
        self._topics.setdefault(topic, set()).add(stream)
        self._open += 1
        self._metrics.streams.inc()
        try:
            yield
        finally:
            self._open -= 1
            self._metrics.streams.dec()
            if stream.too_slow:
                self._metrics.streams_dropped.inc()
            listeners = self._topics[topic]
            listeners.discard(stream)
            if not listeners:
                del self._topics[topic]

    async def broadcast(self, topic: str, events: bytes) -> None:
        """Send the same bytes to every stream of a topic, and let other tasks run in between."""
        for number, stream in enumerate(tuple(self._topics.get(topic, ())), start=1):
            stream.send(events)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
