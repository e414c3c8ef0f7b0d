"""A gateway that is told to stop: clients are sent away, and none loses a request."""

import asyncio
import json
import time
from dataclasses import dataclass, field

import pytest

from tests.conftest import unique
from tests.integration.shop import Shop

SHOPPERS = 90


@dataclass
class Shoppers:
    """Clients that order one after the other, on connections that they keep as long as they may."""

    port: int
    answers: list[tuple[float, bool]] = field(default_factory=list)
    """When each answer came, and whether it was the last one of its connection."""
    lost: list[str] = field(default_factory=list)

    async def shop(self) -> None:
        """Order until no gateway is there any more."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionRefusedError:
                return
            try:
                while not await self._order(reader, writer):
                    await asyncio.sleep(0.01)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.lost.append(repr(error))
            finally:
                writer.close()

    async def _order(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        body = json.dumps({"sku": "tv", "customer_id": unique("c")}).encode()
        writer.write(
            b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.splitlines()
            if line.lower().startswith(b"content-length:")
        )
        await reader.readexactly(length)
        last = b"\r\nConnection: close\r\n" in head
        self.answers.append((time.monotonic(), last))
        return last


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_each_answer_of_a_gateway_that_stops_is_the_last_one_and_no_request_is_lost(
    shop: Shop, workers: str
) -> None:
    with shop.start("gateway", gateway_workers=workers, shutdown_seconds="2") as gateway:
        shop.ready(gateway)
        shoppers = Shoppers(shop.port)
        shopping = asyncio.gather(*(shoppers.shop() for _ in range(SHOPPERS)))
        async with asyncio.timeout(60):
            while len(shoppers.answers) < 3 * SHOPPERS:
                await asyncio.sleep(0.05)
        told_at = time.monotonic()
        assert not any(last for _, last in shoppers.answers)
        assert await asyncio.to_thread(gateway.stop) == 0
        async with asyncio.timeout(60):
            await shopping
    assert shoppers.lost == []
    # What a worker had in hand when the signal came is not told apart from what came before.
    later = [last for at, last in shoppers.answers if at > told_at + 0.5]
    assert len(later) > SHOPPERS
    assert all(later)
