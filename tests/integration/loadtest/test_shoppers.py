"""Locust's shoppers: what they do about each answer, and how their run ends."""

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from flashsale.audit.history import OrderAttempt, StatusPoll, body_hash, read_history
from flashsale.messages.standard_webhooks import new_secret, parse_secret, verify
from loadtest.demo.report import orders_sent
from loadtest.processes import own_environment

SECRET = new_secret()
LOCUSTFILE = Path(__file__).parents[3] / "loadtest/locustfile.py"


class Shop:
    """A shop that answers as a test wants it to, and remembers who came."""

    def __init__(self) -> None:
        self.looks = 0
        self.follows: Counter[str] = Counter()
        self.sent: defaultdict[str, list[float]] = defaultdict(list)
        self.refuses_first = False
        self.loses_orders = False
        self.breaks = False
        self.seconds = 0.0
        self.held: dict[str, float] = {}
        self.hold_seconds: float | None = None
        self.payments: list[tuple[str, float, dict[str, str]]] = []
        self._numbers = itertools.count()

    async def post(self, request: web.Request) -> web.Response:
        key = request.headers["Idempotency-Key"]
        self.sent[key].append(time.monotonic())
        await asyncio.sleep(self.seconds)
        if self.breaks:
            return web.json_response({"type": "/problems/internal"}, status=500)
        if self.refuses_first and len(self.sent[key]) == 1:
            problem = {"type": "/problems/queue-full"}
            return web.json_response(problem, status=503, headers={"Retry-After": "1"})
        order_id = f"{next(self._numbers):032x}"
        headers = {"Location": f"/orders/{order_id}"}
        return web.json_response({"order_id": order_id}, status=202, headers=headers)

    async def get(self, request: web.Request) -> web.Response:
        order_id = request.match_info["order_id"]
        self.follows[order_id] += 1
        if self.loses_orders:
            return web.json_response({"type": "/problems/unknown-order"}, status=404)
        if self.hold_seconds is not None:
            return self._held(order_id)
        return web.json_response(
            {"status": "queued" if self.follows[order_id] == 1 else "confirmed"}
        )

    def _held(self, order_id: str) -> web.Response:
        if self.follows[order_id] == 1:
            return web.json_response({"status": "queued"})
        at = self.held.setdefault(order_id, time.monotonic())
        left = max(0.0, at + (self.hold_seconds or 0.0) - time.monotonic())
        return web.json_response({"status": "held", "expires_in_seconds": left})

    async def pay(self, request: web.Request) -> web.Response:
        body = await request.read()
        delivery = verify([parse_secret(SECRET)], request.headers, body, time.time())
        payment = json.loads(body)
        self.payments.append((delivery, time.monotonic(), payment))
        if sum(seen == delivery for seen, _, _ in self.payments) == 1 and self.refuses_first:
            return web.json_response({"type": "/problems/ledger-unavailable"}, status=503)
        failed = payment["outcome"] == "failed"
        return web.json_response({"result": "failed" if failed else "confirmed"})

    async def sale(self, _: web.Request) -> web.Response:
        self.looks += 1
        return web.json_response({})


@asynccontextmanager
async def serving(shop: Shop) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/orders", shop.post)
    app.router.add_get("/orders/{order_id}", shop.get)
    app.router.add_get("/sales/tv", shop.sale)
    app.router.add_post("/payments", shop.pay)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def shopping(shop: Shop, folder: Path, **load: str) -> tuple[int, list[OrderAttempt]]:
    """A short sale; Locust's exit code, and the history."""
    environment = {
        "SKU": "tv", "BASE": "30", "SPIKE": "60", "SECONDS": "2", "BEFORE": "0", "AFTER": "2",
        "LOOK": "1", "FOLLOW": "1", "HISTORY": str(folder),
    } | load  # fmt: skip
    async with serving(shop) as url:
        locust = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE)]
        options = ["--host", url, "--headless", "--only-summary", "--stop-timeout", "5"]
        done = await asyncio.to_thread(
            subprocess.run,
            [*locust, *options, "--csv", str(folder / "sale"), "--html", str(folder / "sale.html")],
            env=own_environment() | {f"FLASHSALE_LOAD_{k}": v for k, v in environment.items()},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, orders_sent(folder)


async def test_shoppers_look_order_come_back_and_follow(tmp_path: Path) -> None:
    shop = Shop()
    shop.refuses_first = True
    code, history = await shopping(shop, tmp_path)
    assert code == 0
    assert Counter(entry.status for entry in history).keys() == {202, 503}
    assert len(history) == sum(map(len, shop.sent.values()))
    again = [moments for moments in shop.sent.values() if len(moments) > 1]
    assert again
    assert all(later - first >= 1 for first, later in again)
    taken = [entry.order_id for entry in history if entry.status == 202]
    assert taken
    assert set(shop.follows) <= set(taken)
    # What they wrote says all that the shop has seen of them.
    first = history[0]
    body = f'{{"sku":"tv","customer_id":"{first.customer}","quantity":1}}'.encode()
    assert first.body == body_hash(body)
    assert {entry.key for entry in history} == set(shop.sent)
    assert all(abs(shop.sent[entry.key][0] - entry.at) < 30 for entry in history)
    assert first.by.startswith("http://127.0.0.1:")
    looks = [line for line in read_history([tmp_path]) if isinstance(line, StatusPoll)]
    assert Counter(look.order_id for look in looks) == shop.follows
    assert {look.state for look in looks} == {"queued", "confirmed"}
    # Queued when it was looked at first, so it was asked for again.
    assert 2 in shop.follows.values()
    assert shop.looks > 0
    # The refused are counted apart from what was taken, and neither is a failure.
    stats = (tmp_path / "sale_stats.csv").read_text()
    assert "POST /orders (503 queue-full)" in stats
    assert "GET Location" in stats
    assert (tmp_path / "sale.html").exists()


async def test_shoppers_pay_for_what_is_held_or_fail_or_leave_or_are_late(tmp_path: Path) -> None:
    shop = Shop()
    shop.hold_seconds = 1.0
    code, history = await shopping(
        shop, tmp_path, PAYMENT_SECRET=SECRET, AFTER="7",
        PAY="0.25", FAIL="0.25", LATE="0.25", PAY_SECONDS="0.5", LATE_SECONDS="0.5",
    )  # fmt: skip
    assert code == 0
    looks = [line for line in read_history([tmp_path]) if isinstance(line, StatusPoll)]
    assert {look.state for look in looks} == {"queued", "held"}
    # Each payment is signed, or the shop would have failed, and for an order that was held.
    paid = {payment["order_id"]: (at, payment) for _, at, payment in shop.payments}
    assert len(paid) == len(shop.payments)
    assert paid.keys() < shop.held.keys() <= {entry.order_id for entry in history}
    assert {payment["outcome"] for _, payment in paid.values()} == {"succeeded", "failed"}
    late = [order for order, (at, _) in paid.items() if at > shop.held[order] + 1.4]
    assert late
    assert all(paid[order][1]["outcome"] == "succeeded" for order in late)
    stats = (tmp_path / "sale_stats.csv").read_text()
    assert "POST /payments (confirmed)" in stats
    assert "POST /payments (failed)" in stats


async def test_a_payment_that_may_not_be_taken_in_is_told_again(tmp_path: Path) -> None:
    shop = Shop()
    shop.hold_seconds, shop.refuses_first = 60.0, True
    code, _ = await shopping(
        shop, tmp_path, PAYMENT_SECRET=SECRET, PAY="1", PAY_SECONDS="0.2", AFTER="6"
    )
    assert code == 0
    told = Counter((delivery, payment["payment_id"]) for delivery, _, payment in shop.payments)
    assert 2 in told.values()
    assert max(told.values()) == 2


@pytest.mark.parametrize(
    ("flaw", "load"),
    [("loses_orders", {}), ("breaks", {}), ("slow", {"P99_MS": "20"})],
)
async def test_a_broken_promise_is_the_exit_code(
    flaw: str, load: dict[str, str], tmp_path: Path
) -> None:
    shop = Shop()
    if flaw == "slow":
        shop.seconds = 0.1
    else:
        setattr(shop, flaw, True)
    code, history = await shopping(shop, tmp_path, **load)
    assert code == 1
    assert history
