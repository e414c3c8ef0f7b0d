r"""Shoppers of a flash sale, for Locust: a calm shop, a spike, a calm shop.

    locust -f loadtest/locustfile.py --host http://127.0.0.1:8080 --headless --processes 2 \
        --html sale.html --csv sale

A shopper orders one item under a key of its own, some after a look at the sale. Who is told that
the queue is full comes back after `Retry-After` with the same key, some times; who was taken
follows the order, some of them, until it is decided. Orders leave at the rate of the shape, those
who come back among them.

The exit code is 1 if a promise was broken: an answer that is none of the documented ones, an order
that was taken and is not known, or failed, or a p99 over the one that is asked for.

What they do is set by environment variables, with these defaults:

    FLASHSALE_LOAD_SKU=tv-55        what they buy, one item each
    FLASHSALE_LOAD_BASE=50          orders a second before and after the spike
    FLASHSALE_LOAD_SPIKE=5000       orders a second in it
    FLASHSALE_LOAD_SECONDS=10       how long it lasts
    FLASHSALE_LOAD_BEFORE=3         seconds of calm before it
    FLASHSALE_LOAD_AFTER=4          seconds of calm after it
    FLASHSALE_LOAD_LOOK=0.05        the share of shoppers who look at the sale first
    FLASHSALE_LOAD_FOLLOW=0.05      the share of orders taken that are followed to their end
    FLASHSALE_LOAD_RETRIES=5        how often a shopper comes back to a full queue
    FLASHSALE_LOAD_P99_MS=          the longest that all but one in a hundred 202s may take
    FLASHSALE_LOAD_HISTORY=FOLDER   write what is told into this folder, if given, in the form
                                    that `flashsale check --history` reads
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

_ORDERS_A_USER = 10  # a second; few busy users cost a small machine less than many idle ones
_WAIT_SECONDS = 10
_LAST_ANSWERS_SECONDS = 4
_FLUSH_SECONDS = 0.2

# Answers that a sale gives on purpose, counted apart from errors.
_REFUSALS = frozenset({409, 429, 503})
_COME_BACK = frozenset({429, 503})
_DECIDED = frozenset({"confirmed", "rejected"})

_encode = msgspec.json.Encoder().encode


# The form of flashsale.history, which is not there where this file runs alone.
class Asked(msgspec.Struct, tag_field="event", tag="asked"):
    """An order that was sent: when, seconds to the answer, and the answer."""

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


class Looked(msgspec.Struct, tag_field="event", tag="looked"):
    """An order's state, as somebody who followed it was told."""

    at: float
    seconds: float
    order_id: str
    status: int
    state: str
    by: str


class HistoryFile:
    """A line for every answer: the account that the report is made from."""

    def __init__(self) -> None:
        self._file: TextIO | None = None
        self._flushed_at = 0.0

    def write(self, line: Asked | Looked) -> None:
        """Append a line, if a history was asked for."""
        if HISTORY is None:
            return
        if self._file is None:  # opened after the fork, by each worker for itself
            self._file = (Path(HISTORY) / f"history-{os.getpid()}.jsonl").open(
                "a", buffering=1 << 20
            )
        self._file.write(_encode(line).decode() + "\n")
        # Locust ends its workers the hard way if their last answers take long.
        if line.at - self._flushed_at > _FLUSH_SECONDS:
            self.flush()
            self._flushed_at = line.at

    def flush(self, **_: object) -> None:
        """Write what is gathered."""
        if self._file is not None:
            self._file.flush()


history = HistoryFile()


class Shopper(NamedTuple):
    """Somebody who wants the item; `due` is when to order."""

    due: float
    key: str
    retries: int


class Till(FastHttpUser):
    """A stream of shoppers, ten orders a second: one who is due to come back, else a new one."""

    wait_time = constant_throughput(_ORDERS_A_USER)
    network_timeout = _WAIT_SECONDS + 5
    connection_timeout = 10.0
    concurrency = 50

    def on_start(self) -> None:
        """Begin at a random moment, so that not all shoppers of a spike click in step."""
        self._coming_back: list[Shopper] = []
        self._aside = Group()
        time.sleep(random.random() / _ORDERS_A_USER)

    def on_stop(self) -> None:
        """Let those who look or follow have their last answers."""
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
                Asked(
                    *(at, seconds, SKU, customer, shopper.key, hashed),
                    *(status, order_id, problem, by),
                )
            )
            if status in _REFUSALS:
                # Under a name of its own: neither an error, nor an order that was taken.
                answer.request_meta["name"] = f"POST /orders ({status} {problem})"
                answer.success()
            elif status != 202:
                answer.failure(f"unexpected answer {status}")
        if status == 202 and random.random() < FOLLOW:
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
                history.write(Looked(at, seconds, order_id, status, now, str(self.host)))
                if status != 200:
                    told.failure(f"an order that was taken is {status}")
                elif now not in _DECIDED and now != "queued":
                    told.failure(f"an order that was taken is {now}")
            if now != "queued":
                return
            gevent.sleep(0.1)


def _told(answer: ResponseContextManager) -> tuple[str, str]:
    """The order id and the problem that the answer names."""
    try:
        body = msgspec.json.decode(answer.content or b"")
        if answer.status_code == 202:
            return str(body["order_id"]), ""
        return str(body.get("order_id", "")), str(body["type"]).rpartition("/")[2]
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return "", f"status-{answer.status_code}"


def judge(environment: Environment, **_: Any) -> None:
    """Set the exit code: 1 if a promise was broken."""
    if isinstance(environment.runner, WorkerRunner):
        return  # it knows a part
    accepted = environment.stats.get("POST /orders", "POST")
    p99 = accepted.get_response_time_percentile(0.99) or 0
    if environment.stats.total.num_failures or p99 > P99_MS or not accepted.num_requests:
        environment.process_exit_code = 1
    elif environment.process_exit_code is None:
        environment.process_exit_code = 0


events.quitting.add_listener(judge)  # type: ignore[no-untyped-call]
events.test_stop.add_listener(history.flush)  # type: ignore[no-untyped-call]


class Spike(LoadTestShape):
    """Calm, spike, calm, and the end."""

    def tick(self) -> tuple[int, float] | None:
        """How many tills there are now; Locust asks about once a second."""
        at = self.get_run_time()  # type: ignore[no-untyped-call]
        if at >= BEFORE + SECONDS + AFTER:
            return None
        in_spike = BEFORE <= at < BEFORE + SECONDS
        users = max(1, round((SPIKE if in_spike else BASE) / _ORDERS_A_USER))
        # Locust starts and stops users at this rate: all at once, either way.
        return users, SPIKE
