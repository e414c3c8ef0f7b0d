"""Dead letters: read them, replay them, or delete them."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from flashsale.broker import (
    Broker,
    BrokerError,
    BrokerUnavailable,
    DeadQueue,
    Deliveries,
    Delivery,
)
from flashsale.messages.headers import REPLAYED, copied_headers

_MAX_LETTERS = 65_535  # the largest prefetch: AMQP has 16 bits for it
_NEXT_SECONDS = 2.0
_LOOK_SECONDS = 0.02
_LOOKS = 100


@dataclass(frozen=True)
class Settled:
    """The ids of the letters that were replayed or dropped, and what kept the others."""

    ids: Sequence[str]
    trouble: BrokerError | None = None


async def peek(broker: Broker, dead: DeadQueue, at_most: int = _MAX_LETTERS) -> Sequence[Delivery]:
    """Return up to `at_most` letters, oldest first; they stay queued. Raises `BrokerUnavailable`.

    Another consumer of the queue, such as a replay, sees none of them meanwhile.
    """
    async with _held_letters(broker, dead, at_most) as held:
        return held.letters


async def replay(broker: Broker, dead: DeadQueue, ids: Collection[str] | None) -> Settled:
    """Publish letters again to where they came from, all if `ids` is None.

    A letter is removed after the broker has confirmed the copy. A crash between the two leaves it
    in both places; that does no harm, as consumers ignore what they have done before. The replay
    ends early if a copy is refused, as by a full queue. Raises `BrokerUnavailable` if it can't
    begin.
    """
    done: list[str] = []
    async with _held_letters(broker, dead) as held:
        for letter in held.chosen(ids):
            try:
                await broker.publish(
                    dead.exchange,
                    dead.routing_key,
                    letter.body,
                    message_id=letter.message_id,
                    headers={REPLAYED: int(time.time()), **copied_headers(letter.headers)},
                )
            except BrokerError as error:
                return Settled(done, error)
            held.remove(letter)
            done.append(letter.message_id)
    return Settled(done)


async def drop(broker: Broker, dead: DeadQueue, ids: Collection[str] | None) -> Settled:
    """Delete letters, all if `ids` is None. Raises `BrokerUnavailable`."""
    done: list[str] = []
    async with _held_letters(broker, dead) as held:
        for letter in held.chosen(ids):
            held.remove(letter)
            done.append(letter.message_id)
    return Settled(done)


class _HeldLetters:
    """The letters that were ready, unacknowledged."""

    def __init__(self, deliveries: Deliveries, letters: Sequence[Delivery]) -> None:
        self.letters = letters
        self.left = len(letters)
        self._deliveries = deliveries

    def chosen(self, ids: Collection[str] | None) -> Sequence[Delivery]:
        return [letter for letter in self.letters if ids is None or letter.message_id in ids]

    def remove(self, letter: Delivery) -> None:
        self._deliveries.ack(letter)
        self.left -= 1


@asynccontextmanager
async def _held_letters(
    broker: Broker, dead: DeadQueue, at_most: int = _MAX_LETTERS
) -> AsyncIterator[_HeldLetters]:
    """Take the letters that are ready now. On exit, return unacknowledged ones in their order."""
    count = min((await broker.depth(dead.queue)).ready, at_most)
    letters: list[Delivery] = []
    async with broker.consume(dead.queue, max(1, count)) as deliveries:
        try:
            while len(letters) < count:
                async with asyncio.timeout(_NEXT_SECONDS):
                    await deliveries.wait()
                letters += deliveries.take(count - len(letters))
        except TimeoutError:
            pass  # another consumer holds the other letters
        held = _HeldLetters(deliveries, letters)
        yield held
    await _returned(broker, dead, held.left)


async def _returned(broker: Broker, dead: DeadQueue, count: int) -> None:
    """Wait until so many letters are back, so that the next command finds them.

    A quorum queue has them a moment after the connection ended. Another consumer may take them.
    """
    with suppress(BrokerUnavailable):
        for _ in range(_LOOKS):
            if (await broker.depth(dead.queue)).ready >= count:
                return
            await asyncio.sleep(_LOOK_SECONDS)
