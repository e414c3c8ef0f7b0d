"""The HTTP addresses of the order service."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from flashsale.messages.codec import MessageError, decoder
from flashsale.messages.standard_webhooks import SignatureRefused
from loadtest.receiver.behaviour import Behaviour
from loadtest.receiver.connection_pool import ConnectionPool, DatabaseBusy
from loadtest.receiver.order_book import Decision, InProgress, Made, OrderBook, Placed, SoldOut
from loadtest.receiver.order_requests import BadRequest, delivered, ordered
from loadtest.receiver.saturated_database import Limits
from loadtest.receiver.stats import Stats
from loadtest.receiver.timeline import Timeline

_LARGEST_BODY = 1 << 20
_encode = msgspec.json.Encoder().encode
_decode_behaviour = decoder(msgspec.json.Decoder(Behaviour))


@dataclass(frozen=True)
class Shop:
    """The order service: `keys` are those of its secrets.

    With a key it takes signed messages only, without one the orders of shoppers only.
    """

    keys: Sequence[bytes] = ()
    stock: int | None = None
    limits: Limits = field(default_factory=Limits)
    honours_keys: bool = True
    behaviour: Behaviour = field(default_factory=Behaviour)


class OrderService:
    """Takes orders, and counts them by its own clock."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._behaviour = shop.behaviour
        self._book = OrderBook(shop.stock, shop.honours_keys)
        self._pool = ConnectionPool(shop.limits)
        self._started_at = time.monotonic()
        self._arrivals, self._answered, self._failed = (
            Timeline(self._started_at) for _ in range(3)
        )
        self._requests = 0

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Answer `POST /orders`."""
        body = await request.read()
        self._requests += 1
        try:
            orders, is_batch = self._read(request.headers, body)
        except SignatureRefused as error:
            return self._turned_down(401, "bad-signature", str(error))
        except BadRequest as error:
            return self._turned_down(400, "bad-request", str(error))
        now = time.monotonic()
        for _ in orders:
            self._arrivals.add(now)
        if self._behaviour != Behaviour():
            refusal = await self._misbehave(len(orders))
            if refusal is not None:
                return refusal
        if not is_batch:
            answer = await self._decide(orders[0])
            status = answer.pop("status")
            kind = "application/json" if status < 300 else "application/problem+json"
            return web.Response(body=_encode(answer), status=status, content_type=kind)
        answers = await asyncio.gather(*map(self._decide, orders))
        return web.Response(body=_encode(answers), content_type="application/json")

    def _read(self, headers: Mapping[str, str], body: bytes) -> tuple[list[Placed], bool]:
        if self._shop.keys:
            return delivered(self._shop.keys, headers, body, time.time())
        return [ordered(headers, body, f"request-{self._requests}")], False

    async def _misbehave(self, orders: int) -> web.Response | None:
        behaviour = self._behaviour
        if behaviour.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(behaviour.delay_seconds)
        if behaviour.answer is None:
            return None
        for _ in range(orders):
            self._failed.add(time.monotonic())
        response = _problem(behaviour.answer, "told-to", "This service was told to answer so.")
        if behaviour.retry_after is not None:
            response.headers["Retry-After"] = behaviour.retry_after
        return response

    def _turned_down(self, status: int, kind: str, detail: str) -> web.Response:
        """Answer a request that is no order: it counts as a failure, and as no arrival."""
        self._failed.add(time.monotonic())
        return _problem(status, kind, detail)

    async def _decide(self, placed: Placed) -> dict[str, Any]:
        """Return the answer to one order, its status among it."""
        decision = self._book.begin(placed)
        if decision is None:
            try:
                await self._pool.execute()
            except DatabaseBusy:
                self._book.give_up(placed)
                self._failed.add(time.monotonic())
                return _told(503, "database-busy", "No connection to the database was free.")
            except asyncio.CancelledError:
                self._book.give_up(placed)
                raise
            decision = self._book.decide(placed, time.monotonic())
        if isinstance(decision, InProgress):
            self._failed.add(time.monotonic())
            return _told(409, "in-progress", "An earlier request with this key is not answered.")
        self._answered.add(time.monotonic())
        return _answer(decision)

    async def stats(self, _: web.Request) -> web.Response:
        """Answer `GET /stats`."""
        book = self._book
        stats = Stats(
            started_at=self._started_at,
            arrivals=self._arrivals.per_second(),
            answered=self._answered.per_second(),
            failed=self._failed.per_second(),
            arrivals_by_tenth=self._arrivals.tenths,
            arrivals_max_1s=self._arrivals.most,
            answered_max_1s=self._answered.most,
            requests=self._requests,
            waiting=self._pool.waiting,
            stock=book.stock,
            sold=book.sold,
            orders=len(book.made),
            sold_out=book.refused,
            repeated=book.repeated,
            doubled=book.doubled,
            oversold=book.oversold,
        )
        return web.Response(body=_encode(stats), content_type="application/json")

    async def orders(self, _: web.Request) -> web.Response:
        """Answer `GET /orders` with every order that was made, in the order of time."""
        return web.Response(body=_encode(self._book.made), content_type="application/json")

    async def behave(self, request: web.Request) -> web.Response:
        """Answer `PUT /behaviour`: from now on, misbehave as it says, or do so no more."""
        try:
            self._behaviour = _decode_behaviour(await request.read())
        except MessageError as error:
            return _problem(400, "bad-request", str(error))
        return web.Response(status=204)

    async def closing(self, _: web.Application) -> AsyncIterator[None]:
        """Close the pool with the service."""
        yield
        self._pool.close()


def create_app(shop: Shop) -> web.Application:
    """Return the service."""
    app = web.Application(client_max_size=_LARGEST_BODY)
    service = OrderService(shop)
    app.router.add_post("/orders", service.take)
    app.router.add_get("/orders", service.orders)
    app.router.add_get("/stats", service.stats)
    app.router.add_put("/behaviour", service.behave)
    app.cleanup_ctx.append(service.closing)
    return app


def _answer(decision: Decision) -> dict[str, Any]:
    match decision:
        case Made(order_ref=order_ref):
            return {"status": 201, "order_ref": order_ref}
        case SoldOut(left=0):
            return _told(409, "sold-out", "Nothing of it is left.")
        case SoldOut(left=left):
            return _told(409, "not-enough-left", f"Only {left} of it are left.")


def _told(status: int, kind: str, detail: str) -> dict[str, Any]:
    return {"status": status, "type": f"/problems/{kind}", "title": kind, "detail": detail}


def _problem(status: int, kind: str, detail: str) -> web.Response:
    return web.Response(
        body=_encode(_told(status, kind, detail)),
        status=status,
        content_type="application/problem+json",
    )
