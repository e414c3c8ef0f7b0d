"""Dead letters: look at them, give them another try, or drop them."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from flashsale.broker import Broker, Deliveries, Delivery
from flashsale.messages.headers import REPLAYED, copied_headers

_MOST = 65_535  # what a consumer may hold unacknowledged
_NEXT_SECONDS = 2.0


@dataclass(frozen=True)
class DeadQueue:
    """A queue of dead letters, and where its letters came from."""

    name: str
    queue: str
    exchange: str
    routing_key: str


async def look(broker: Broker, dead: DeadQueue) -> Sequence[Delivery]:
    """The oldest 65,535 letters of a queue, which stay there. Raises `BrokerUnavailable`."""
    async with _in_hand(broker, dead) as (_, letters):
        return letters


async def replay(broker: Broker, dead: DeadQueue, ids: Collection[str] | None) -> int:
    """Send letters back to where they came from, all if no ids are given; how many.

    Each is removed after the broker has confirmed it there. Dying in between leaves it in both
    places, and what is done is not done twice: to repeat this does no harm. Raises `BrokerError`.
    """
    count = 0
    async with _in_hand(broker, dead) as (deliveries, letters):
        for letter in letters:
            if ids is None or letter.message_id in ids:
                await broker.publish(
                    dead.exchange,
                    dead.routing_key,
                    letter.body,
                    message_id=letter.message_id,
                    headers={REPLAYED: 1, **copied_headers(letter.headers)},
                )
                deliveries.ack(letter)
                count += 1
    return count


async def drop(broker: Broker, dead: DeadQueue, ids: Collection[str] | None) -> int:
    """Remove letters for good, all if no ids are given; how many. Raises `BrokerUnavailable`."""
    count = 0
    async with _in_hand(broker, dead) as (deliveries, letters):
        for letter in letters:
            if ids is None or letter.message_id in ids:
                deliveries.ack(letter)
                count += 1
    return count


@asynccontextmanager
async def _in_hand(
    broker: Broker, dead: DeadQueue
) -> AsyncIterator[tuple[Deliveries, Sequence[Delivery]]]:
    """The letters that are there now. What is not acknowledged goes back, in its old order."""
    count = min((await broker.depth(dead.queue)).ready, _MOST)
    letters: list[Delivery] = []
    async with broker.consume(dead.queue, max(1, count)) as deliveries:
        try:
            while len(letters) < count:
                async with asyncio.timeout(_NEXT_SECONDS):
                    await deliveries.wait()
                letters += deliveries.take(count - len(letters))
        except TimeoutError:
            pass  # somebody else has the others in hand
        yield deliveries, letters
