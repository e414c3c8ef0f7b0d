"""Open an event stream, listen on it, and keep quiet streams alive."""

import asyncio
import time

from aiohttp import web

from gateway.context import CONTEXT, Context
from gateway.http.problems import Problem
from gateway.http.sse import EventStream

_KEEP_ALIVE_SECONDS = 15.0
# A browser that lost its stream opens it again after this time.
_RETRY = b"retry: 2000\n\n"


async def open_stream(request: web.Request) -> EventStream:
    """Return a new stream, for a HEAD only its head. Raises `Problem` if too many are open."""
    context = request.app[CONTEXT]
    if context.streams.full:
        raise Problem("too-many-streams", "Poll, or come back.", retry_after=5)
    stream = EventStream(context.cors.headers(request))
    await stream.prepare(request)
    if request.method != "HEAD":
        stream.send(_RETRY)
    return stream


async def listen(
    context: Context, topic: str, stream: EventStream, *ends: asyncio.Future[None]
) -> None:
    """Send the stream the events of a topic.

    Return when one of `ends` is done, the reader is gone, or the gateway is told to stop.
    """
    with (
        context.streams.listening(topic, stream),
        context.lifecycle.until_stopped() as stopped,
    ):
        await asyncio.wait((stream.ended, stopped, *ends), return_when=asyncio.FIRST_COMPLETED)


async def keep_alive(context: Context) -> None:
    """Keep sending comments, so that proxies keep quiet streams open and dead ones are noticed."""
    streams = context.streams
    while True:
        await asyncio.sleep(_KEEP_ALIVE_SECONDS)
        comment = f": {time.time():.0f}\n\n".encode()
        for topic in streams.topics():
            await streams.broadcast(topic, comment)
