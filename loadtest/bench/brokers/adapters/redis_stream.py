"""A stream in Redis. A Lua script holds the bound, as `XADD MAXLEN` drops old orders instead.

Redis runs a script alone, so the bound is exact (https://redis.io/docs/latest/develop/programmability/).
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError

from loadtest.bench.brokers.batching import Batcher
from loadtest.bench.brokers.port import Lost, OrderQueue, Taken

_STREAM, _GROUP, _CONSUMER = "orders", "drain", "consumer"
_Read = list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]
# KEYS: the stream. ARGV: the bound, then the orders. Those in hand do not count.
_PUSH = f"""
local in_hand = redis.call('XPENDING', KEYS[1], '{_GROUP}')[1]
local room = ARGV[1] - (redis.call('XLEN', KEYS[1]) - in_hand)
local taken = math.max(0, math.min(#ARGV - 1, room))
for number = 2, taken + 1 do
    redis.call('XADD', KEYS[1], '*', 'order', ARGV[number])
end
return taken
"""


@asynccontextmanager
async def open_redis_stream(url: str, bound: int) -> AsyncIterator[OrderQueue]:
    """Open the stream and its consumer group."""
    async with Redis.from_url(url, protocol=2) as redis:
        try:
            await redis.xgroup_create(_STREAM, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # another client has made it
                raise
        yield RedisStream(redis, redis.register_script(_PUSH), bound)


class RedisStream(OrderQueue):
    """The stream, and the one consumer of its group."""

    def __init__(self, redis: Redis, push: AsyncScript, bound: int) -> None:
        self._redis = redis
        self._push_script = push
        self._bound = bound
        self._batcher = Batcher(self._push)

    async def publish(self, body: bytes) -> None:
        """Publish with the next batch. With `appendfsync always` the answer comes after a sync."""
        await self._batcher.publish(body)

    async def _push(self, bodies: list[bytes]) -> int:
        try:
            return int(await self._push_script(keys=[_STREAM], args=[self._bound, *bodies]))
        except ConnectionLost as error:
            raise Lost from error

    async def take(self, at_most: int) -> list[Taken]:
        """Read the next orders of the group."""
        read: _Read = await self._redis.xreadgroup(  # type: ignore[assignment]
            _GROUP, _CONSUMER, {_STREAM: ">"}, count=at_most
        )
        return [Taken(name, fields[b"order"]) for _, orders in read for name, fields in orders]

    async def ack(self, taken: Sequence[Taken]) -> None:
        """Acknowledge and delete the orders in one transaction."""
        names = [one.tag for one in taken]
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.xack(_STREAM, _GROUP, *names)
            pipeline.xdel(_STREAM, *names)
            await pipeline.execute()

    async def depth(self) -> int:
        """Return the length of the stream without the orders in hand."""
        in_hand = await self._redis.xpending(_STREAM, _GROUP)
        return int(await self._redis.xlen(_STREAM)) - int(in_hand["pending"])
