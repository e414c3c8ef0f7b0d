"""Shoppers in an open loop: send orders on schedule, and record the answers."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Address

from flashsale.domain.order_ids import OrderId, keyed_order_id
from loadtest.load.connections import Connections

_CONNECTIONS = 512
_PATIENCE_SECONDS = 10.0
_TICK_SECONDS = 0.001
# One order in so many is of the greedy client.
_GREEDY_EVERY = 100
_FIRST_ADDRESS = int(IPv4Address("10.0.0.0"))
_GREEDY = "203.0.113.66"


class Shoppers:
    """The shoppers of one gateway on this machine, and the answers they got.

    Each order comes from an address of its own, but one in a hundred from the same one: the greedy
    client, whose limit is to meet nobody else.
    """

    def __init__(self, port: int, secret: str) -> None:
        """Send to this port. `secret` is the gateway's secret for order ids."""
        self._port = port
        self._secret = secret.encode()
        self._customers: list[str] = []
        self._open = 0
        self._quiet = asyncio.Event()
        self.accepted: list[OrderId] = []
        self.statuses: Counter[int] = Counter()
        self.unanswered = 0
        self.limited_by_mistake = 0
        """The orders that were refused although their client sent no other one."""

    async def order(self, sku: str, schedule: Iterable[float]) -> None:
        """Send an order at each moment, in seconds from now; return once all are answered.

        Each order has another customer and key. Count orders as unanswered that have no answer
        ten seconds after the last one was sent.
        """
        connections = Connections("127.0.0.1", self._port, _CONNECTIONS, self._answered)
        start = time.monotonic()
        try:
            for moment in schedule:
                # Orders that are due in the same tick of the event loop are sent together.
                if (early := start + moment - time.monotonic()) > 0:
                    await asyncio.sleep(max(early, _TICK_SECONDS))
                number = len(self._customers)
                self._customers.append(customer := f"{sku}-{number}")
                self._open += 1
                connections.send(number, _request(self._port, sku, customer, _address(number)))
            await self._until_quiet()
        finally:
            self.unanswered += self._open
            self._open = 0
            await connections.close()

    async def _until_quiet(self) -> None:
        self._quiet.clear()
        if self._open:
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._quiet.wait()
            except TimeoutError:
                return

    def _answered(self, number: int, status: int) -> None:
        self.statuses[status] += 1
        self._open -= 1
        if not self._open:
            self._quiet.set()
        if status == 429 and _address(number) != _GREEDY:
            self.limited_by_mistake += 1
        if status == 202:
            customer = self._customers[number]
            self.accepted.append(keyed_order_id(self._secret, customer, customer))


def _address(number: int) -> str:
    if number % _GREEDY_EVERY == 0:
        return _GREEDY
    return str(IPv4Address(_FIRST_ADDRESS + number))


def _request(port: int, sku: str, customer: str, address: str) -> bytes:
    body = f'{{"sku": "{sku}", "customer_id": "{customer}", "quantity": 1}}'
    return (
        f"POST /orders HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {customer}\r\nX-Forwarded-For: {address}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
