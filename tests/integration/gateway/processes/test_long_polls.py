"""`Prefer: wait=N` on `GET /orders/{id}`."""

import time

import pytest

from tests.integration.gateway.real_shop import RealShop


@pytest.mark.parametrize(
    ("preference", "applied"),
    [
        ("wait=0", "wait=0"),
        ("wait=1", "wait=1"),
        ("respond-async, WAIT = 1", "wait=1"),
        ('wait="1"; foo', "wait=1"),
        ("wait=99999", "wait=2"),
        ("wait", None),
        ("wait=-1", None),
        ("awaiting=1", None),
    ],
)
async def test_a_wait_preference_is_applied_if_it_is_valid(
    real_shop: RealShop, preference: str, applied: str | None
) -> None:
    gateway = real_shop.gateway(wait_seconds="2")
    _, body = await gateway.order()
    started = time.monotonic()
    status, seen, headers = await gateway.get(f"/orders/{body['order_id']}", Prefer=preference)
    seconds = time.monotonic() - started
    assert (status, seen["status"]) == (200, "queued")
    assert headers.get("Preference-Applied") == applied
    assert seconds >= (0 if applied is None else int(applied[-1]) - 0.05)
