"""Dead letters: read them, replay them, or delete them."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from flashsale.broker import Broker, Deliveries, Delivery
from flashsale.messages.headers import REPLAYED, copied_headers

_MAX_LETTERS = 65_535  # the largest prefetch: AMQP has 16 bits for it
_NEXT_SECONDS = 2.0
_LOOK_SECONDS = 0.02
_LOOKS = 100


@dataclass(frozen=True)
class DeadQueue:
    """A queue of dead letters, and the exchange and key to which a replay publishes them."""

    name: str
    queue: str
    exchange: str
    routing_key: str


async def peek(broker: Broker, dead: DeadQueue) -> Sequence[Delivery]:
    """Return up to 65,535 letters, oldest first; they stay queued. Raises `BrokerUnavailable`."""
    async with _held_letters(broker, dead) as held:
        return held.letters


async def replay(broker: Broker, dead: DeadQueue, ids: Collection[str] | None) -> int:
    """Publish letters again to where they came from, all if `ids` is None; return the count.

    A letter is removed after the broker has confirmed the copy. A crash between the two leaves it
    in both places; that does no harm, as consumers ignore what they have done before. Raises
    `BrokerError`.
    """
    count = 0
    async with _held_letters(broker, dead) as held:
        for letter in held.letters:
            if ids is None or letter.message_id in ids:
                await broker.publish(
                    dead.exchange,
                    dead.routing_key,
                    letter.body,
                    message_id=letter.message_id,
                    headers={REPLAYED: int(time.time()), **copied_headers(letter.headers)},
                )
                held.remove(letter)
                count += 1
    return count


async def drop(broker: Broker, dead: DeadQueue, ids: Collection[str] | None) -> int:
    """Delete letters, all if `ids` is None; return the count. Raises `BrokerUnavailable`."""
    count = 0
    async with _held_letters(broker, dead) as held:
        for letter in held.letters:
            if ids is None or letter.message_id in ids:
                held.remove(letter)
                count += 1
    return count


class _HeldLetters:
    """The letters that were ready, unacknowledged."""

    def __init__(self, deliveries: Deliveries, letters: Sequence[Delivery]) -> None:
        self.letters = letters
        self.left = len(letters)
        self._deliveries = deliveries

    def remove(self, letter: Delivery) -> None:
        self._deliveries.ack(letter)
        self.left -= 1


@asynccontextmanager
async def _held_letters(broker: Broker, dead: DeadQueue) -> AsyncIterator[_HeldLetters]:
    """Take the letters that are ready now. On exit, return unacknowledged ones in their order."""
    count = min((await broker.depth(dead.queue)).ready, _MAX_LETTERS)
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
    for _ in range(_LOOKS):
        if (await broker.depth(dead.queue)).ready >= count:
            return
        await asyncio.sleep(_LOOK_SECONDS)
