"""Shoppers who come at a rate, never give up without reason, and write down what they are told."""

import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import msgspec

from flashsale.audit.history import NO_ANSWER, Observation, OrderAttempt, StatusPoll, body_hash

_RETRY_SECONDS = (0.2, 1.0)
_LONGEST_RETRY_SECONDS = 3.0
_MOST_WAITING = 300
_LOOK_SECONDS = 0.25
_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 4.0
_WATCH_SECONDS = 30.0
_LAST_WATCH_SECONDS = 3.0
_SETTLED = frozenset({"confirmed", "rejected", "failed"})


@dataclass
class Crowd:
    """Shoppers at some gateways: `rate` new ones a second, each with a key of its own.

    Some are the same customer. A fifth of them follow their order until it is decided.
    """

    gateways: list[str]
    write: Callable[[Observation], None]
    dice: random.Random
    rate: float = 120.0
    customers: int = 400
    skus: tuple[str, ...] = ("tv", "radio", "radio")
    follow: float = 0.2
    offered: int = 0
    waiting: int = 0
    """How many have no answer for good yet."""
    accepted: dict[str, OrderAttempt] = field(default_factory=dict)
    """How each order id was first taken."""
    statuses: dict[int, int] = field(default_factory=dict)
    given_up: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """All who came have an answer for good; some may still follow their order."""
    _watch_until: float = math.inf

    async def come(self, until: asyncio.Event, give_up_after: float = 240.0) -> None:
        """Come until that event, and then wait until each has gone."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=_PATIENCE_SECONDS)
        started, number = time.monotonic(), 0
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as client,
            asyncio.TaskGroup() as shoppers,
        ):
            while not until.is_set():
                # In the open loop: nobody waits outside for the answer of somebody else.
                due = started + number / self.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                number += 1
                if self.waiting < _MOST_WAITING:  # a long fault is not to end in a storm of ours
                    self.offered += 1
                    self.waiting += 1
                    shoppers.create_task(self._shop(client, f"key-{self.offered}", give_up_after))
            while self.waiting:
                await asyncio.sleep(_POLL_SECONDS)
            self.answered.set()

    def go(self) -> None:
        """Have all go soon: every order is decided, or gone with the queue that it was in."""
        self._watch_until = time.monotonic() + _LAST_WATCH_SECONDS

    async def _shop(self, client: aiohttp.ClientSession, key: str, give_up_after: float) -> None:
        try:
            order_id = await self._taken(client, key, give_up_after)
        finally:
            self.waiting -= 1
        if order_id and self.dice.random() < self.follow:
            await self._watch(client, order_id, time.monotonic() + _WATCH_SECONDS)

    async def _taken(
        self, client: aiohttp.ClientSession, key: str, give_up_after: float
    ) -> str | None:
        """Order until it is taken or refused for good; the order's id if it is taken."""
        order: dict[str, object] = {
            "sku": self.dice.choice(self.skus),
            "customer_id": f"c-{self.dice.randrange(self.customers)}",
            "quantity": self.dice.choice((1, 1, 1, 2)),
        }
        body = msgspec.json.encode(order)
        deadline = time.monotonic() + give_up_after
        while True:
            asked, pause = await self._ask(client, order, key, body)
            self.statuses[asked.status] = self.statuses.get(asked.status, 0) + 1
            if asked.status == 202:
                self.accepted.setdefault(asked.order_id, asked)
                return asked.order_id
            if asked.status not in (NO_ANSWER, 503):
                return None
            if time.monotonic() > deadline:
                self.given_up += 1
                return None
            await asyncio.sleep(pause)

    async def _ask(
        self, client: aiohttp.ClientSession, order: dict[str, object], key: str, body: bytes
    ) -> tuple[OrderAttempt, float]:
        """Order once; the answer, and when to come back if that is of use."""
        gateway = self.dice.choice(self.gateways)
        status, told, pause = NO_ANSWER, {}, self.dice.uniform(*_RETRY_SECONDS)
        at = time.monotonic()
        try:
            async with client.post(
                f"{gateway}/orders",
                data=body,
                headers={"Content-Type": "application/json", "Idempotency-Key": key},
            ) as answer:
                told = msgspec.json.decode(await answer.read())
                status = answer.status
                pause = float(answer.headers.get("Retry-After", pause))
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
            pass  # not known whether it was taken
        asked = OrderAttempt(
            at,
            time.monotonic() - at,
            str(order["sku"]),
            str(order["customer_id"]),
            key,
            body_hash(body),
            status,
            told.get("order_id", ""),
            told.get("type", "").rpartition("/")[2],
            gateway,
        )
        self.write(asked)
        return asked, min(pause, _LONGEST_RETRY_SECONDS)

    async def _watch(self, client: aiohttp.ClientSession, order_id: str, deadline: float) -> None:
        # One shopper asks one gateway: what another has not heard yet is not a step back.
        gateway = self.dice.choice(self.gateways)
        state = ""
        while state not in _SETTLED and time.monotonic() < min(deadline, self._watch_until):
            status, state = NO_ANSWER, ""
            at = time.monotonic()
            try:
                async with client.get(f"{gateway}/orders/{order_id}") as answer:
                    told = msgspec.json.decode(await answer.read())
                    status = answer.status
                    state = str(told["status"]) if status == 200 else ""
            except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
                pass
            self.write(StatusPoll(at, time.monotonic() - at, order_id, status, state, gateway))
            await asyncio.sleep(_LOOK_SECONDS)
