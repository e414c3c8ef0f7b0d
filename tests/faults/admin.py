"""An operator of a sale under faults, and what shoppers are told meanwhile."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from flashsale.audit.history import OrderAttempt, body_hash
from tests.faults.stand import Stand

TOKEN = "an operator"
SETTINGS = {"admin_token": TOKEN}

_TIMEOUT = aiohttp.ClientTimeout(total=20)
_SENT = {"Authorization": f"Bearer {TOKEN}", "If-Match": "*"}


@dataclass(frozen=True)
class Answer:
    """What a gateway answers."""

    status: int
    body: Any
    retry_after: int | None

    @property
    def problem(self) -> str:
        """The kind of a problem."""
        return str(self.body["type"]).rpartition("/")[2]


async def ask(
    stand: Stand, method: str, path: str, gateway: str = "gateway-1", **request: Any
) -> Answer:
    """Send a request to a gateway, as no other shopper or operator does: once."""
    async with (
        aiohttp.ClientSession(timeout=_TIMEOUT) as client,
        client.request(method, f"{stand.url(gateway)}{path}", **request) as answer,
    ):
        body = await answer.json(content_type=None)
        after = answer.headers.get("Retry-After")
        return Answer(answer.status, body, None if after is None else int(after))


async def change(stand: Stand, what: str, gateway: str = "gateway-1", **changes: Any) -> Any:
    """Change the drain, the intake or a sale by a gateway; return what it is then."""
    answer = await try_change(stand, what, gateway, **changes)
    assert answer.status == 200, answer
    return answer.body


async def try_change(stand: Stand, what: str, gateway: str = "gateway-1", **changes: Any) -> Answer:
    """Ask for a change, whatever the answer is."""
    return await ask(stand, "PATCH", f"/admin/{what}", gateway, json=changes, headers=_SENT)


async def change_stock(
    stand: Stand, sku: str, add: int, key: str, gateway: str = "gateway-1"
) -> Answer:
    """Add items to a stock, or take some away, once under that key."""
    path, headers = f"/admin/sales/{sku}/stock", _SENT | {"Idempotency-Key": key}
    return await ask(stand, "POST", path, gateway, json={"add": add}, headers=headers)


async def audited(stand: Stand, action: str) -> int:
    """How many changes of this kind the audit has by an operator."""
    return await stand.count(
        "count(*) FROM audit_log WHERE who = 'operator' AND action = :action", action=action
    )


async def order(stand: Stand, key: str, gateway: str = "gateway-1") -> Answer:
    """Order a radio once, and write it down."""
    wanted = {"sku": "radio", "customer_id": "a customer of the operator", "quantity": 1}
    body = msgspec.json.encode(wanted)
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    at = time.monotonic()
    answer = await ask(stand, "POST", "/orders", gateway, data=body, headers=headers)
    stand.write(
        OrderAttempt(
            at,
            time.monotonic() - at,
            str(wanted["sku"]),
            str(wanted["customer_id"]),
            key,
            body_hash(body),
            answer.status,
            answer.body.get("order_id", ""),
            "" if answer.status == 202 else answer.problem,
            stand.url(gateway),
        )
    )
    return answer


@dataclass
class Told:
    """What a stream has told so far: when, which event, and its data."""

    events: list[tuple[float, str, Any]] = field(default_factory=list)

    def since(self, moment: float, wanted: Callable[[Any], bool]) -> float | None:
        """When it first told that after a moment; None if it has not."""
        return next((at for at, _, data in self.events if at >= moment and wanted(data)), None)


@asynccontextmanager
async def stream(stand: Stand, path: str, gateway: str = "gateway-1") -> AsyncIterator[Told]:
    """Follow a stream of a gateway."""
    told = Told()

    async def follow() -> None:
        kind = ""
        url = f"{stand.url(gateway)}{path}"
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout()) as client,
            client.get(url) as answer,
        ):
            assert answer.status == 200, await answer.text()
            async for line in answer.content:
                name, _, value = line.decode().strip().partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    told.events.append((time.monotonic(), kind, json.loads(value)))

    following = asyncio.create_task(follow())
    try:
        yield told
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
