"""Single requests to gateways: each has an answer, or none that can be understood."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from flashsale.client.errors import Problem
from flashsale.client.orders import Intention, OrderState
from flashsale.client.pauses import retry_after_seconds
from flashsale.domain.order_states import Status

_LARGEST_BODY = 64 * 1024
_SHORTEST_SECONDS = 0.001  # aiohttp takes 0 for no limit
_NOT_FINAL = frozenset({408, 425, 429})
_NOT_TAKEN = frozenset({"queue-full", "intake-paused"})
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what came back."""

    method: str
    gateway: str
    """The address of the gateway."""
    started: float
    """Seconds on the monotonic clock."""
    seconds: float
    """How long it took."""
    status: int | None = None
    """None if no answer came: it timed out, or the connection was lost."""
    retry_after: float | None = None
    """Seconds after which another attempt makes sense, if the answer says so."""
    order: OrderState | None = None
    """The state of the order, in an answer that tells it."""
    problem: Problem | None = None
    """The gateway's problem. An error page of a proxy is none."""
    intention: Intention | None = None
    """What was to be bought, in a request that buys."""
    order_id: str | None = None
    """The order that was looked at or changed, in a request that does that."""

    @property
    def refused(self) -> bool:
        """Whether a gateway refuses this request, and will refuse it again."""
        return (
            self.problem is not None
            and 400 <= self.problem.status < 500
            and self.problem.status not in _NOT_FINAL
        )

    @property
    def not_taken(self) -> bool:
        """Whether this attempt is certainly no order, though a later one may be."""
        too_many = self.status == 429
        return too_many or (self.problem is not None and self.problem.kind in _NOT_TAKEN)


Observer = Callable[[Exchange], None]


class Gateways:
    """The addresses of gateways, and the session in which requests are sent to them."""

    def __init__(
        self,
        addresses: Sequence[str],
        session: aiohttp.ClientSession,
        *,
        token: str | None = None,
        observer: Observer | None = None,
        attempt_seconds: float,
    ) -> None:
        self._addresses = addresses
        self._session = session
        self._observer = observer
        self.token = token
        self.attempt_seconds = attempt_seconds

    def door(self) -> "Door":
        """Return a door to one of the gateways, drawn by lot."""
        return Door(self, random.randrange(len(self._addresses)))  # noqa: S311 not a secret

    def address(self, number: int) -> str:
        """Return an address, counted round and round."""
        return self._addresses[number % len(self._addresses)]

    async def send(
        self,
        address: str,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        seconds: float,
        intention: Intention | None = None,
        order_id: str | None = None,
    ) -> Exchange:
        """Send a request; wait for the whole answer for `seconds` at most.

        It buys what the `intention` says, or looks at the order of this id, or changes it.
        """
        own = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        started = time.monotonic()
        status, retry_after, told = None, None, b""
        try:
            async with self._session.request(
                method,
                address + path,
                data=None if intention is None else intention.body(),
                headers={**own, **headers},
                timeout=aiohttp.ClientTimeout(total=max(seconds, _SHORTEST_SECONDS)),
                allow_redirects=False,  # a token must not go to another address
            ) as answer:
                told = await _whole(answer)
                status = answer.status
                retry_after = retry_after_seconds(answer.headers.get("Retry-After"), time.time())
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass  # it is not known what became of the request
        exchange = Exchange(
            method,
            address,
            started,
            time.monotonic() - started,
            status,
            retry_after,
            order=_decoded(told, OrderState) if status in (200, 202) else None,
            problem=_problem(told, status) if status is not None and status >= 400 else None,
            intention=intention,
            order_id=order_id,
        )
        if self._observer is not None:
            self._observer(exchange)
        return exchange


class Door:
    """One gateway, and another one once it does not answer as it should."""

    def __init__(self, gateways: Gateways, number: int) -> None:
        self._gateways = gateways
        self._number = number

    async def post(self, intention: Intention, *, seconds: float) -> Exchange:
        """Send an intention."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": intention.key}
        if intention.purchase_pass is not None:
            headers["Purchase-Pass"] = intention.purchase_pass
        return await self._send(
            "POST", "/orders", headers=headers, seconds=seconds, intention=intention
        )

    async def look(
        self, order_id: str, *, seconds: float, wait: int = 0, seen: str = Status.QUEUED
    ) -> Exchange:
        """Look at an order.

        Let the gateway wait for `wait` seconds while the order is in the state that was `seen`.
        """
        return await self._send(
            "GET",
            f"/orders/{quote(order_id, safe='')}",
            headers={"Prefer": f"wait={wait}; seen={seen}"} if wait else {},
            seconds=seconds,
            order_id=order_id,
        )

    async def change(self, order_id: str, action: str, *, seconds: float) -> Exchange:
        """Cancel or extend an order, as the `action` says."""
        path = f"/orders/{quote(order_id, safe='')}/{action}"
        return await self._send("POST", path, headers={}, seconds=seconds, order_id=order_id)

    async def _send(self, method: str, path: str, **arguments: Any) -> Exchange:
        address = self._gateways.address(self._number)
        exchange = await self._gateways.send(address, method, path, **arguments)
        if exchange.order is None:
            self._number += 1
        return exchange


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    told = b""
    async for piece in answer.content.iter_chunked(_LARGEST_BODY):
        told += piece
        if len(told) > _LARGEST_BODY:
            raise aiohttp.ClientPayloadError("the answer is larger than any of a gateway")
    return told


def _problem(told: bytes, status: int) -> Problem | None:
    problem = _decoded(told, Problem)
    if problem is None or not problem.type.startswith("/problems/") or problem.status != status:
        return None
    return problem


def _decoded(told: bytes, kind: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(told, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def checked_addresses(addresses: Sequence[str]) -> Sequence[str]:
    """Return addresses of gateways without the slash at their end. Raises `ValueError`."""
    if not addresses:
        raise ValueError("no address of a gateway is given")
    for url in addresses:
        parts = urlsplit(url)
        strange = parts.query or parts.fragment
        if parts.scheme not in ("http", "https") or not parts.hostname or strange:
            raise ValueError(f"{url!r} is not the http or https address of a gateway")
    return [url.rstrip("/") for url in addresses]
