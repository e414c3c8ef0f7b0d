"""A work queue in NATS JetStream: a stream that discards new orders at its bound.

The client's own `publish` waits for one answer and costs ten times the server's work. So requests
share a subscription for all answers (https://docs.nats.io/reference/reference-protocols/nats_api_reference).
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DiscardPolicy, RetentionPolicy, StreamConfig

from loadtest.bench.brokers.port import Full, Lost, OrderQueue, Taken

_STREAM = "orders"
_PREFETCH = 100
_STREAM_IS_FULL = 10077  # JSStreamStoreFailedF; its description is "maximum messages exceeded"


@asynccontextmanager
async def open_nats_jetstream(url: str, bound: int) -> AsyncIterator[OrderQueue]:
    """Open the stream. Orders in hand count towards its bound."""
    answers = Answers()
    client = await nats.connect(
        url, allow_reconnect=False, error_cb=_ignore, closed_cb=answers.fail_all
    )
    try:
        jetstream = client.jetstream()
        await jetstream.add_stream(
            StreamConfig(
                name=_STREAM,
                subjects=[_STREAM],
                retention=RetentionPolicy.WORK_QUEUE,
                discard=DiscardPolicy.NEW,
                max_msgs=bound,
            )
        )
        inbox = client.new_inbox()
        await client.subscribe(f"{inbox}.*", cb=answers.on_answer)
        yield NatsWorkQueue(client, jetstream, inbox, answers)
    finally:
        await client.close()


async def _ignore(_: Exception) -> None:
    """Keep the client from logging a lost connection: what was published fails anyway."""


class Answers:
    """The answers that are due, by the subject to which each will come."""

    def __init__(self) -> None:
        self._due: dict[str, asyncio.Future[bytes]] = {}

    def add(self, subject: str) -> "asyncio.Future[bytes]":
        """Return the answer that will come to this subject."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._due[subject] = answer
        return answer

    async def on_answer(self, message: Msg) -> None:
        """Hand an answer on to its publisher."""
        answer = self._due.pop(message.subject, None)
        if answer is not None and not answer.done():
            answer.set_result(message.data)

    async def fail_all(self) -> None:
        """Fail all answers that are due, as the connection was lost."""
        for answer in self._due.values():
            if not answer.done():
                answer.set_exception(Lost("the connection was lost"))
        self._due.clear()


class NatsWorkQueue(OrderQueue):
    """The stream, and its one durable consumer."""

    def __init__(
        self, client: Client, jetstream: JetStreamContext, inbox: str, answers: Answers
    ) -> None:
        self._client = client
        self._jetstream = jetstream
        self._inbox = inbox
        self._answers = answers
        self._number = 0
        self._subscribed = False
        self._arrived: deque[Msg] = deque()

    async def publish(self, body: bytes) -> None:
        """Publish and wait for the stream's answer."""
        self._number += 1
        subject = f"{self._inbox}.{self._number}"
        try:
            await self._client.publish(_STREAM, body, reply=subject)
        except (Error, OSError) as error:
            raise Lost from error
        answer = await self._answers.add(subject)
        if b'"error"' in answer:
            refusal = json.loads(answer)["error"]
            if refusal["err_code"] == _STREAM_IS_FULL:
                raise Full
            raise RuntimeError(refusal["description"])

    async def take(self, at_most: int) -> list[Taken]:
        """Take what the server has pushed; the first call makes the consumer."""
        if not self._subscribed:
            self._subscribed = True
            await self._jetstream.subscribe(
                _STREAM,
                durable="drain",
                cb=self._on_order,
                manual_ack=True,
                config=ConsumerConfig(max_ack_pending=_PREFETCH),
            )
        count = min(at_most, len(self._arrived))
        return [Taken(one, one.data) for one in (self._arrived.popleft() for _ in range(count))]

    async def _on_order(self, message: Msg) -> None:
        self._arrived.append(message)

    async def ack(self, taken: Sequence[Taken]) -> None:
        """Acknowledge each order; the server deletes it from the stream."""
        for one in taken:
            await one.tag.ack()

    async def depth(self) -> int:
        """Return the orders in the stream, those in hand included."""
        return int((await self._jetstream.stream_info(_STREAM)).state.messages)
