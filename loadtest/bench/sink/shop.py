"""The smallest order service that honours keys: bare aiohttp, and a file if it has to last.

`python -m loadtest.bench.sink.shop --port PORT [--file FILE]` runs it. `GET /seen` tells what it
has seen, and `PUT /behaviour` changes how it misbehaves.
"""

import argparse
import asyncio
import sqlite3
import time
from collections import deque
from pathlib import Path

import msgspec
import uvloop
from aiohttp import web


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The misbehaviour; by default there is none.

    With `answer` an order is answered with that status and `retry_after`, at most `times` times.
    Each answer takes `delay` seconds. With `loses` an order is taken and its answer is not sent.
    """

    answer: int | None = None
    retry_after: str | None = None
    times: int | None = None
    delay: float = 0.0
    loses: bool = False


class Seen(msgspec.Struct, frozen=True):
    """What the service has seen. Times are in seconds of its monotonic clock."""

    attempts: int
    most_in_a_second: int
    first_at: float
    last_at: float
    repeated: int
    orders: list[str]
    """The keys of the orders that it made."""
    latest: list[float]
    """The times of the latest attempts."""


class _Data(msgspec.Struct):
    order_id: str


class _Envelope(msgspec.Struct):
    data: _Data


_decode = msgspec.json.Decoder(_Envelope | list[_Envelope]).decode
_decode_behaviour = msgspec.json.Decoder(Behaviour).decode
_encode = msgspec.json.Encoder().encode
_LATEST = 20_000


class Book:
    """One order for each key, in memory, and in a file that outlives the process."""

    def __init__(self, file: Path | None = None) -> None:
        """Go on with the orders of the file."""
        self._file = None if file is None else sqlite3.connect(file, isolation_level=None)
        self.orders: dict[str, str] = {}
        self.repeated = 0
        if self._file is not None:
            # What is written survives the process; the machine does not fail here.
            self._file.execute("PRAGMA synchronous = OFF")
            self._file.execute("CREATE TABLE IF NOT EXISTS orders (key PRIMARY KEY, ref)")
            self.orders.update(self._file.execute("SELECT key, ref FROM orders"))

    def take(self, key: str) -> str:
        """Return the reference of the order with that key; make the order if there is none."""
        ref = self.orders.get(key)
        if ref is not None:
            self.repeated += 1
            return ref
        ref = self.orders[key] = f"shop-{len(self.orders) + 1}"
        if self._file is not None:
            self._file.execute("INSERT INTO orders VALUES (?, ?)", (key, ref))
        return ref


class Clock:
    """Counts attempts in sliding seconds."""

    def __init__(self) -> None:
        self.total = self.most = 0
        self.first = self.last = 0.0
        self._recent: deque[float] = deque()
        self.latest: deque[float] = deque(maxlen=_LATEST)

    def count(self, attempts: int) -> None:
        """Count attempts that arrive now."""
        now = self.last = time.monotonic()
        self.first = self.first or now
        self.total += attempts
        for each in (self._recent, self.latest):
            each.extend([now] * attempts)
        while self._recent[0] <= now - 1:
            self._recent.popleft()
        self.most = max(self.most, len(self._recent))


class Shop:
    """The order service."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._clock = Clock()
        self._behaviour = Behaviour()
        self._bad_answers = 0

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Answer `POST /orders`."""
        sent = _decode(await request.read())
        envelopes = sent if isinstance(sent, list) else [sent]
        self._clock.count(len(envelopes))
        behaviour = self._behaviour
        if behaviour.delay:
            await asyncio.sleep(behaviour.delay)
        if behaviour.answer is not None and behaviour.times != self._bad_answers:
            self._bad_answers += 1
            after = behaviour.retry_after
            headers = {} if after is None else {"Retry-After": after}
            return web.Response(status=behaviour.answer, headers=headers)
        refs = [self._book.take(envelope.data.order_id) for envelope in envelopes]
        if behaviour.loses and request.transport is not None:
            request.transport.abort()
        if isinstance(sent, list):
            told: object = [{"status": 201, "order_ref": ref} for ref in refs]
        else:
            told = {"order_ref": refs[0]}
        return web.Response(body=_encode(told), content_type="application/json")

    async def seen(self, _: web.Request) -> web.Response:
        """Answer `GET /seen`."""
        clock = self._clock
        seen = Seen(
            clock.total,
            clock.most,
            clock.first,
            clock.last,
            self._book.repeated,
            list(self._book.orders),
            list(clock.latest),
        )
        return web.Response(body=_encode(seen), content_type="application/json")

    async def made(self, _: web.Request) -> web.Response:
        """Answer `GET /made` with the number of orders: `/seen` has too much to poll it."""
        return web.Response(text=str(len(self._book.orders)))

    async def behave(self, request: web.Request) -> web.Response:
        """Answer `PUT /behaviour`."""
        self._behaviour = _decode_behaviour(await request.read())
        self._bad_answers = 0
        return web.Response(status=204)


def create_app(book: Book) -> web.Application:
    """Return the service."""
    app, shop = web.Application(), Shop(book)
    app.router.add_post("/orders", shop.take)
    app.router.add_get("/seen", shop.seen)
    app.router.add_get("/made", shop.made)
    app.router.add_put("/behaviour", shop.behave)
    return app


async def _serve(port: int, file: Path | None) -> None:
    runner = web.AppRunner(create_app(Book(file)), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench.sink.shop")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path)
    arguments = parser.parse_args()
    uvloop.run(_serve(arguments.port, arguments.file))


if __name__ == "__main__":
    main()
