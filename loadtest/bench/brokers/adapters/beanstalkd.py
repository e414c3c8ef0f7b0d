"""beanstalkd: a work queue with a text protocol. It has no bound and can't refuse.

https://github.com/beanstalkd/beanstalkd/blob/master/doc/protocol.txt
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from loadtest.bench.brokers.port import Lost, OrderQueue, Taken

# Priority, delay in seconds, and the seconds after which an order in hand goes back.
_PUT = b"put 0 0 60 %d\r\n%b\r\n"


@asynccontextmanager
async def open_beanstalkd(url: str, bound: int) -> AsyncIterator[OrderQueue]:
    """Open the default tube, with a connection to publish and one to take. It ignores the bound."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    publishing = Pipeline(*await asyncio.open_connection(host, port))
    taking = Pipeline(*await asyncio.open_connection(host, port))
    try:
        yield Tube(publishing, taking)
    finally:
        await publishing.close()
        await taking.close()


class Pipeline:
    """A connection. Commands of one turn of the event loop go out in one write."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answers: deque[asyncio.Future[tuple[bytes, bytes]]] = deque()
        self._commands: list[bytes] = []
        self._reading = asyncio.create_task(self._read_answers())

    def ask(self, command: bytes) -> "asyncio.Future[tuple[bytes, bytes]]":
        """Send a command; return its answer: the line, and the body that follows or nothing."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[bytes, bytes]] = loop.create_future()
        if self._reading.done():
            answer.set_exception(Lost("the connection was lost"))
            return answer
        if not self._commands:
            loop.call_soon(self._flush)
        self._commands.append(command)
        self._answers.append(answer)
        return answer

    def _flush(self) -> None:
        self._writer.write(b"".join(self._commands))
        self._commands.clear()

    async def _read_answers(self) -> None:
        try:
            while line := await self._reader.readline():
                body = b""
                if line.startswith((b"RESERVED ", b"OK ")):
                    body = (await self._reader.readexactly(int(line.split()[-1]) + 2))[:-2]
                answer = self._answers.popleft()
                if not answer.done():
                    answer.set_result((line, body))
        except (OSError, asyncio.IncompleteReadError):
            pass  # as at the end of the stream
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(Lost("the connection was lost"))

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


class Tube(OrderQueue):
    """The default tube."""

    def __init__(self, publishing: Pipeline, taking: Pipeline) -> None:
        self._publishing = publishing
        self._taking = taking

    async def publish(self, body: bytes) -> None:
        """Put a job. With `-f 0` the answer comes after a sync."""
        line, _ = await self._publishing.ask(_PUT % (len(body), body))
        if not line.startswith(b"INSERTED"):
            raise RuntimeError(line.decode())

    async def take(self, at_most: int) -> list[Taken]:
        """Reserve jobs, without waiting for more."""
        asked = [self._taking.ask(b"reserve-with-timeout 0\r\n") for _ in range(at_most)]
        answers = await asyncio.gather(*asked)
        return [Taken(line.split()[1], body) for line, body in answers if line[:8] == b"RESERVED"]

    async def ack(self, taken: Sequence[Taken]) -> None:
        """Delete the jobs."""
        await asyncio.gather(*(self._taking.ask(b"delete %b\r\n" % one.tag) for one in taken))

    async def depth(self) -> int:
        """Return the jobs that are ready."""
        _, statistics = await self._taking.ask(b"stats-tube default\r\n")
        told = dict(line.split(b": ") for line in statistics.splitlines() if b": " in line)
        return int(told[b"current-jobs-ready"])
