"""Payment providers of a sale under faults: they tell of each payment until somebody takes it in.

As providers do, they tell some twice, in another order, and late.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import aiohttp
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.messages.standard_webhooks import parse_secret, signed_headers
from tests.faults.stand import Stand

SECRET = "whsec_" + "c2VjcmV0" * 5
SETTINGS = {"payment_secret": SECRET}

_TIMEOUT = aiohttp.ClientTimeout(total=5)
_PAUSE_SECONDS = 0.2
_LOOK_SECONDS = 0.25
_TAKEN_SECONDS = 60.0
_AT_ONCE = 40
_WRONG_BOOKS = """
    count(*) FROM sales WHERE sold + held > stock
    OR held <> (SELECT coalesce(sum(quantity), 0) FROM orders
                WHERE orders.sku = sales.sku AND status = 'held')
    OR sold <> (SELECT coalesce(sum(quantity), 0) FROM orders
                WHERE orders.sku = sales.sku AND status = 'confirmed')
"""


@dataclass
class Provider:
    """What one has told. `signed_ago` is how long its messages were on their way, in seconds."""

    stand: Stand
    gateways: Sequence[str]
    signed_ago: float = 0.0
    results: dict[str, str] = field(default_factory=dict)
    """What became of each payment, as it was answered first."""
    refused: Counter[str] = field(default_factory=Counter)
    """How often somebody was refused with which problem, or got no answer."""
    client: aiohttp.ClientSession = field(
        default_factory=lambda: aiohttp.ClientSession(timeout=_TIMEOUT)
    )
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def tell(
        self,
        order_id: str,
        payment_id: str,
        outcome: Literal["succeeded", "failed"] = "succeeded",
        *,
        delivery: str | None = None,
        gateway: str | None = None,
    ) -> str:
        """Tell of a payment until it is taken in; return what became of it."""
        told = {"order_id": order_id, "payment_id": payment_id, "outcome": outcome}
        body = json.dumps(told).encode()
        webhook_id = delivery or f"{payment_id}-{outcome}"
        deadline = time.monotonic() + _TAKEN_SECONDS
        names = [gateway] if gateway else list(self.gateways)
        while time.monotonic() < deadline:
            at = int(time.time() - self.signed_ago)
            headers = signed_headers([parse_secret(SECRET)], webhook_id, at, body)
            async with self._turns:
                answer = await self._send(self.stand.dice.choice(names), body, headers)
            if answer is not None:
                return self._answered(payment_id, outcome, answer)
            await asyncio.sleep(_PAUSE_SECONDS)
        raise AssertionError(f"payment {payment_id} was never taken in: {self.refused}")

    async def _send(self, gateway: str, body: bytes, headers: dict[str, str]) -> str | None:
        url = f"{self.stand.url(gateway)}/payments"
        sent = headers | {"Content-Type": "application/json"}
        try:
            async with self.client.post(url, data=body, headers=sent) as answer:
                view = await answer.json(content_type=None)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError) as error:
            self.refused[type(error).__name__] += 1
            return None
        if status == 200:
            return str(view["result"])
        problem = str(view["type"]).rpartition("/")[2]
        self.refused[problem] += 1
        assert status == 503, view
        return None

    def _answered(self, payment_id: str, outcome: str, result: str) -> str:
        if outcome == "succeeded":
            first = self.results.setdefault(payment_id, result)
            # A payment that was told of before has the same answer, unless it had only failed.
            assert result == first, f"payment {payment_id}: {first}, and then {result}"
        return result

    async def check(self) -> None:
        """The ledger has each payment that was taken in, and what was said about it."""
        async with self.stand.session() as session:
            rows = await session.execute(text("SELECT payment_id, disposition FROM payments"))
            kept = {row.payment_id: row.disposition for row in rows}
        for payment_id, result in self.results.items():
            assert kept[payment_id] in (result, "refund_due"), f"payment {payment_id} was {result}"


async def held(stand: Stand) -> list[str]:
    """The orders of tvs that are held."""
    async with stand.session() as session:
        return await _held(session)


async def _held(session: AsyncConnection) -> list[str]:
    found = await session.execute(
        text("SELECT id FROM orders WHERE sku = 'tv' AND status = 'held' ORDER BY id")
    )
    return list(found.scalars())


async def watch_books(stand: Stand, seen: Callable[[list[str]], None]) -> None:
    """See that the books are right whenever the database answers; tell which orders are held."""
    while True:
        try:
            # One session for all looks, as to open one takes longer than the look.
            async with stand.session() as session:
                while True:
                    wrong = await session.scalar(text(f"SELECT {_WRONG_BOOKS}"))
                    assert wrong == 0, "the books are wrong"
                    seen(await _held(session))
                    await session.rollback()
                    await asyncio.sleep(_LOOK_SECONDS)
        except (OSError, DBAPIError):
            await asyncio.sleep(_PAUSE_SECONDS)  # it can't be asked now
