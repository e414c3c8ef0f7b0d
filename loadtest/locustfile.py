r"""Shoppers of a flash sale, for Locust: calm, a spike, calm again.

    locust -f loadtest/locustfile.py --host http://127.0.0.1:8080 --headless --processes 2 \
        --html sale.html --csv sale

A shopper orders one item under its own key; some shoppers look at the sale first. If the queue is
full, a shopper retries after `Retry-After` with the same key, a limited number of times. Some
shoppers follow an accepted order until it is decided. Orders are sent at the rate of the shape,
retries included.

The exit code is 1 if a promise was broken: an answer is undocumented, an accepted order is unknown
or failed, or the p99 is over its limit.

Environment variables set the load, with these defaults:

    FLASHSALE_LOAD_SKU=tv-55        the item to order
    FLASHSALE_LOAD_BASE=50          orders a second before and after the spike
    FLASHSALE_LOAD_SPIKE=5000       orders a second in the spike
    FLASHSALE_LOAD_SECONDS=10       seconds of the spike
    FLASHSALE_LOAD_BEFORE=3         seconds of calm before it
    FLASHSALE_LOAD_AFTER=4          seconds of calm after it
    FLASHSALE_LOAD_LOOK=0.05        share of shoppers who look at the sale first
    FLASHSALE_LOAD_FOLLOW=0.05      share of accepted orders that shoppers follow to the decision
    FLASHSALE_LOAD_RETRIES=5        most retries of a shopper
    FLASHSALE_LOAD_P99_MS=          limit for the p99 of 202s in milliseconds; none by default
    FLASHSALE_LOAD_PAYMENT_SECRET=  if given, shoppers look at each accepted order, and pay for what
                                    is held, as a payment provider with this secret tells
    FLASHSALE_LOAD_PAY=0.7          share of them who pay in time
    FLASHSALE_LOAD_FAIL=0.1         share whose payment fails
    FLASHSALE_LOAD_LATE=0.1         share who pay too late; all others leave
    FLASHSALE_LOAD_PAY_SECONDS=5    longest time that a shopper takes to pay
    FLASHSALE_LOAD_LATE_SECONDS=32  how long after the end of the hold a late payment comes
    FLASHSALE_LOAD_HISTORY=FOLDER   write the answers to this folder, if given, in the form that
                                    `flashsale check --history` reads
"""

import hashlib
import heapq
import os
import random
import time
import uuid
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import gevent
import msgspec
from gevent.pool import Group
from locust import FastHttpUser, LoadTestShape, constant_throughput, events, task
from locust.contrib.fasthttp import ResponseContextManager
from locust.env import Environment
from locust.runners import WorkerRunner

SKU = os.environ.get("FLASHSALE_LOAD_SKU", "tv-55")
BASE = float(os.environ.get("FLASHSALE_LOAD_BASE", "50"))
SPIKE = float(os.environ.get("FLASHSALE_LOAD_SPIKE", "5000"))
SECONDS = float(os.environ.get("FLASHSALE_LOAD_SECONDS", "10"))
BEFORE = float(os.environ.get("FLASHSALE_LOAD_BEFORE", "3"))
AFTER = float(os.environ.get("FLASHSALE_LOAD_AFTER", "4"))
LOOK = float(os.environ.get("FLASHSALE_LOAD_LOOK", "0.05"))
FOLLOW = float(os.environ.get("FLASHSALE_LOAD_FOLLOW", "0.05"))
RETRIES = int(os.environ.get("FLASHSALE_LOAD_RETRIES", "5"))
P99_MS = float(os.environ.get("FLASHSALE_LOAD_P99_MS") or "inf")
HISTORY = os.environ.get("FLASHSALE_LOAD_HISTORY")
PAYMENT_SECRET = os.environ.get("FLASHSALE_LOAD_PAYMENT_SECRET")

_ORDERS_A_USER = 10  # a second; few busy users need less processor time than many idle ones
_WAIT_SECONDS = 10
_LAST_ANSWERS_SECONDS = 4
_FLUSH_SECONDS = 0.2

# Documented refusals of a sale, which are not errors.
_REFUSALS = frozenset({409, 429, 503})
_COME_BACK = frozenset({429, 503})
_DECIDED = frozenset({"confirmed", "rejected", "held", "waitlisted", "expired", "cancelled"})

_encode = msgspec.json.Encoder().encode


# The same form as in flashsale.audit.history, which is missing where this file runs alone.
class OrderAttempt(msgspec.Struct, tag_field="event", tag="asked"):
    """An order that was sent, and the answer `seconds` later."""

    at: float
    seconds: float
    sku: str
    customer: str
    key: str
    body: str
    status: int
    order_id: str
    problem: str
    by: str


class StatusPoll(msgspec.Struct, tag_field="event", tag="looked"):
    """An order's state, as a shopper who follows it was told."""

    at: float
    seconds: float
    order_id: str
    status: int
    state: str
    by: str


class HistoryFile:
    """Writes a line for every answer. The report is made from these lines."""

    def __init__(self) -> None:
        self._file: TextIO | None = None
        self._flushed_at = 0.0

    def write(self, line: Any) -> None:
        """Append a line, if there is a folder for the history."""
        if HISTORY is None:
            return
        if self._file is None:  # each worker opens its own file after the fork
            self._file = (Path(HISTORY) / f"history-{os.getpid()}.jsonl").open(
                "a", buffering=1 << 20
            )
        self._file.write(_encode(line).decode() + "\n")
        # Locust kills workers whose last answers take too long.
        if line.at - self._flushed_at > _FLUSH_SECONDS:
            self.flush()
            self._flushed_at = line.at

    def flush(self, **_: object) -> None:
        """Write the buffered lines."""
        if self._file is not None:
            self._file.flush()


history = HistoryFile()

if PAYMENT_SECRET:
    from loadtest.payers import Payers  # the rest of this file runs alone

payers = Payers(PAYMENT_SECRET, history.write) if PAYMENT_SECRET else None


# Not by flashsale.client: that is for asyncio, Locust runs on gevent, and this file may run alone.
class Shopper(NamedTuple):
    """A shopper; `due` is the moment of the next attempt, in seconds on the monotonic clock."""

    due: float
    key: str
    retries: int


class ShopperStream(FastHttpUser):
    """A stream of ten orders a second, each a retry that is due or the order of a new shopper."""

    wait_time = constant_throughput(_ORDERS_A_USER)
    network_timeout = _WAIT_SECONDS + 5
    connection_timeout = 10.0
    concurrency = 50

    def on_start(self) -> None:
        """Start at a random moment, so that the streams do not send in step."""
        self._coming_back: list[Shopper] = []
        self._aside = Group()
        time.sleep(random.random() / _ORDERS_A_USER)

    def on_stop(self) -> None:
        """Wait for the last answers to lookups and polls."""
        self._aside.join(_LAST_ANSWERS_SECONDS)
        self._aside.kill()

    @task
    def next_order(self) -> None:
        """Send the next order."""
        if self._coming_back and self._coming_back[0].due <= time.monotonic():
            self._order(heapq.heappop(self._coming_back))
            return
        if random.random() < LOOK:
            self._aside.spawn(self._look)
        self._order(Shopper(0.0, uuid.uuid4().hex, RETRIES))

    def _look(self) -> None:
        with self.client.get(f"/sales/{SKU}", name="GET /sales/{sku}", catch_response=True) as seen:
            if seen.status_code != 200:
                seen.failure(f"unexpected answer {seen.status_code}")

    def _order(self, shopper: Shopper) -> None:
        customer = f"c-{shopper.key[:12]}"
        body = f'{{"sku":"{SKU}","customer_id":"{customer}","quantity":1}}'
        at = time.monotonic()
        with self.client.post(
            "/orders",
            data=body,
            headers={"Content-Type": "application/json", "Idempotency-Key": shopper.key},
            name="POST /orders",
            catch_response=True,
        ) as answer:
            status = answer.status_code
            order_id, problem = _told(answer)
            seconds = time.monotonic() - at
            hashed = hashlib.sha256(body.encode()).hexdigest()[:16]
            by = str(self.host)
            history.write(
                OrderAttempt(
                    *(at, seconds, SKU, customer, shopper.key, hashed),
                    *(status, order_id, problem, by),
                )
            )
            if status in _REFUSALS:
                # Count refusals under their own name: they are neither errors nor accepted orders.
                answer.request_meta["name"] = f"POST /orders ({status} {problem})"
                answer.success()
            elif status != 202:
                answer.failure(f"unexpected answer {status}")
        if status == 202 and payers is not None:
            payers.follow(self.client, by, answer.headers["Location"], order_id)
        elif status == 202 and random.random() < FOLLOW:
            self._aside.spawn(self._follow, answer.headers["Location"], order_id)
        elif status in _COME_BACK and shopper.retries:
            due = time.monotonic() + float(answer.headers.get("Retry-After", 1))
            heapq.heappush(self._coming_back, Shopper(due, shopper.key, shopper.retries - 1))

    def _follow(self, location: str, order_id: str) -> None:
        while True:
            at = time.monotonic()
            with self.client.get(
                location,
                headers={"Prefer": f"wait={_WAIT_SECONDS}"},
                name="GET Location",
                catch_response=True,
            ) as told:
                status = told.status_code
                now = msgspec.json.decode(told.content)["status"] if status == 200 else ""
                seconds = time.monotonic() - at
                history.write(StatusPoll(at, seconds, order_id, status, now, str(self.host)))
                if status != 200:
                    told.failure(f"status {status} for an accepted order")
                elif now not in _DECIDED and now != "queued":
                    told.failure(f"an accepted order is {now}")
            if now != "queued":
                return
            gevent.sleep(0.1)


def _told(answer: ResponseContextManager) -> tuple[str, str]:
    """Return the order id and the problem type in the answer."""
    try:
        body = msgspec.json.decode(answer.content or b"")
        if answer.status_code == 202:
            return str(body["order_id"]), ""
        return str(body.get("order_id", "")), str(body["type"]).rpartition("/")[2]
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return "", f"status-{answer.status_code}"


def judge(environment: Environment, **_: Any) -> None:
    """Set the exit code to 1 if a promise was broken."""
    if isinstance(environment.runner, WorkerRunner):
        return  # a worker has only its own share of the statistics
    accepted = environment.stats.get("POST /orders", "POST")
    p99 = accepted.get_response_time_percentile(0.99) or 0
    if environment.stats.total.num_failures or p99 > P99_MS or not accepted.num_requests:
        environment.process_exit_code = 1
    elif environment.process_exit_code is None:
        environment.process_exit_code = 0


events.quitting.add_listener(judge)  # type: ignore[no-untyped-call]
events.test_stop.add_listener(history.flush)  # type: ignore[no-untyped-call]


class Spike(LoadTestShape):
    """The shape of the load: calm, a spike, calm again."""

    def tick(self) -> tuple[int, float] | None:
        """Return the number of streams now; Locust calls this about once a second."""
        at = self.get_run_time()  # type: ignore[no-untyped-call]
        if at >= BEFORE + SECONDS + AFTER:
            return None
        in_spike = BEFORE <= at < BEFORE + SECONDS
        users = max(1, round((SPIKE if in_spike else BASE) / _ORDERS_A_USER))
        # The second value is the spawn rate: start and stop all users at once.
        return users, SPIKE
