"""Shoppers who come at a rate, never give up without reason, and write down what they are told."""

import asyncio
import math
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import aiohttp

from flashsale.audit.history import NO_ANSWER, Observation, OrderAttempt, StatusPoll, body_hash
from flashsale.client import (
    ClientError,
    Exchange,
    Intention,
    Refused,
    SaleClient,
    Undecided,
    UnknownOrder,
)

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
        started, number = time.monotonic(), 0
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
            self._client(self.gateways, session) as client,
            AsyncExitStack() as lookers,
            asyncio.TaskGroup() as shoppers,
        ):
            # One shopper asks one gateway: what another has not heard yet is not a step back.
            looking = [
                await lookers.enter_async_context(self._client([gateway], session))
                for gateway in self.gateways
            ]
            while not until.is_set():
                # In the open loop: nobody waits outside for the answer of somebody else.
                due = started + number / self.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                number += 1
                if self.waiting < _MOST_WAITING:  # a long fault is not to end in a storm of ours
                    self.offered += 1
                    self.waiting += 1
                    key = f"key-{self.offered}"
                    shoppers.create_task(
                        self._shop(client, self.dice.choice(looking), key, give_up_after)
                    )
            while self.waiting:
                await asyncio.sleep(_POLL_SECONDS)
            self.answered.set()

    def go(self) -> None:
        """Have all go soon: every order is decided, or gone with the queue that it was in."""
        self._watch_until = time.monotonic() + _LAST_WATCH_SECONDS

    def _client(self, gateways: list[str], session: aiohttp.ClientSession) -> SaleClient:
        return SaleClient(
            gateways, session=session, attempt_seconds=_PATIENCE_SECONDS, observer=self._told
        )

    async def _shop(
        self, client: SaleClient, looker: SaleClient, key: str, give_up_after: float
    ) -> None:
        intention = Intention(
            self.dice.choice(self.skus),
            f"c-{self.dice.randrange(self.customers)}",
            self.dice.choice((1, 1, 1, 2)),
            key=key,
        )
        try:
            order = await client.place(intention, patience=give_up_after)
        except Refused:
            return
        except ClientError:
            self.given_up += 1
            return
        finally:
            self.waiting -= 1
        if self.dice.random() < self.follow:
            await self._watch(looker, order.order_id, time.monotonic() + _WATCH_SECONDS)

    async def _watch(self, looker: SaleClient, order_id: str, deadline: float) -> None:
        state = ""
        while state not in _SETTLED and time.monotonic() < min(deadline, self._watch_until):
            try:
                state = (await looker.look(order_id, patience=_PATIENCE_SECONDS)).status
            except (UnknownOrder, Undecided):
                state = ""
            await asyncio.sleep(_LOOK_SECONDS)

    def _told(self, exchange: Exchange) -> None:
        """Write down what a shopper is told."""
        if exchange.intention is not None:
            self._asked(exchange, exchange.intention)
        elif exchange.order_id is not None:
            self.write(
                StatusPoll(
                    exchange.started,
                    exchange.seconds,
                    exchange.order_id,
                    exchange.status or NO_ANSWER,
                    "" if exchange.order is None else exchange.order.status,
                    exchange.gateway,
                )
            )

    def _asked(self, exchange: Exchange, intention: Intention) -> None:
        order, problem = exchange.order, exchange.problem
        order_id = order.order_id if order is not None else problem and problem.order_id
        asked = OrderAttempt(
            exchange.started,
            exchange.seconds,
            intention.sku,
            intention.customer_id or "",
            intention.key,
            body_hash(intention.body()),
            exchange.status or NO_ANSWER,
            order_id or "",
            "" if problem is None else problem.kind,
            exchange.gateway,
        )
        self.write(asked)
        self.statuses[asked.status] = self.statuses.get(asked.status, 0) + 1
        if asked.status == 202:
            self.accepted.setdefault(asked.order_id, asked)
