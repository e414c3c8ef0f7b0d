"""A shop in processes of its own, on real servers, and its shoppers."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from flashsale.domain.orders import Outcome
from flashsale.ledger import Ledger
from loadtest.processes import Process
from tests.conftest import unique
from tests.database import event_ids, rows
from tests.faults.observed import POINT
from tests.processes import process

ROOT = Path(__file__).parents[2]
# A broker that is started again takes half of it on a slow machine.
_ANSWER_SECONDS = 120.0


@dataclass
class Shop:
    """Addresses of one sale's parts, and how to start them."""

    ledger: Ledger
    environment: dict[str, str]
    folder: Path
    port: int
    client: aiohttp.ClientSession
    accepted: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    @property
    def database_url(self) -> str:
        return self.environment["FLASHSALE_DATABASE_URL"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *command: str, **changes: str) -> AbstractContextManager[Process]:
        """Run `flashsale ...`, with other settings."""
        return self._start(["flashsale", *command], changes)

    def start_dying(
        self, point: str, at: int, *command: str, **changes: str
    ) -> AbstractContextManager[Process]:
        """Run `flashsale ...` until it dies at that point, when it comes there that time."""
        dying = {POINT: f"{point}:{at}"}
        return self._start(["tests.faults.observed", *command], changes, dying)

    def _start(
        self, arguments: list[str], changes: dict[str, str], more: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Process]:
        environment = self.environment | {
            f"FLASHSALE_{key.upper()}": value for key, value in changes.items()
        }
        log = self.folder / f"{unique('process')}.log"
        return process(arguments, log, {"PYTHONPATH": str(ROOT), **(more or {})} | environment)

    def ready(self, gateway: Process) -> None:
        gateway.await_url(f"{self.url}/readyz")

    async def order(self) -> int:
        """Order one item, with a key, and send it again as long as the outcome is not known."""
        key = unique("key")
        headers = {"Idempotency-Key": key}
        body = {"sku": "tv", "customer_id": key, "quantity": 1}
        deadline = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            try:
                async with self.client.post(
                    f"{self.url}/orders", json=body, headers=headers
                ) as answer:
                    self.statuses.append(answer.status)
                    if answer.status == 202:
                        self.accepted.append((await answer.json())["order_id"])
                        return 202
                    if answer.status != 503:
                        return answer.status
            except aiohttp.ClientError:
                self.statuses.append(0)
            await asyncio.sleep(0.1)
        raise AssertionError(f"never answered: {set(self.statuses)}")

    async def accepted_events(self) -> list[str]:
        """The ids of the events of the accepted orders."""
        events = await event_ids(self.database_url)
        return [events[order_id] for order_id in self.accepted]

    async def orders(self, count: int, at_once: int = 50) -> None:
        slots = asyncio.Semaphore(at_once)

        async def one() -> None:
            async with slots:
                await self.order()

        await asyncio.gather(*(one() for _ in range(count)))

    async def outcomes(self) -> dict[str, Outcome]:
        return await self.ledger.outcomes("tv")

    async def decided(self, count: int, seconds: float = 60) -> dict[str, Outcome]:
        """Wait until at least so many orders are decided."""
        async with asyncio.timeout(seconds):
            while len(found := await self.outcomes()) < count:
                await asyncio.sleep(0.1)
            return found

    async def count(self, select: str) -> int:
        """What `SELECT count(*) FROM ...` says."""
        [(found,)] = await rows(self.database_url, f"SELECT count(*) FROM {select}")
        return int(str(found))

    async def until(self, select: str, count: int, seconds: float = 60) -> None:
        """Wait until so many rows are there."""
        found = -1
        try:
            async with asyncio.timeout(seconds):
                while (found := await self.count(select)) < count:
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{found} of {count} {select}") from None

    async def balanced(self, count: int) -> None:
        """Every accepted order was decided, none twice, and the books balance."""
        found = await self.decided(count)
        assert len(set(self.accepted)) == len(self.accepted)
        assert set(self.accepted) <= set(found)
        assert len(found) == count
        assert (await self.ledger.audit()).wrong == ()
