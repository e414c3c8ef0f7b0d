"""Shoppers of a flash sale, for Locust: a calm shop, a spike, a calm shop.

    locust -f loadtest/locustfile.py --host http://127.0.0.1:8080 --headless --processes 2

What they do is set by environment variables, with these defaults:

    FLASHSALE_LOAD_SKU=tv-55        what they buy, one item each
    FLASHSALE_LOAD_BASE=50          orders a second before and after the spike
    FLASHSALE_LOAD_SPIKE=5000       orders a second in it
    FLASHSALE_LOAD_SECONDS=10       how long it lasts; 3 s of calm before it and 4 s after
    FLASHSALE_LOAD_HISTORY=FOLDER   write a line for every order into this folder, if given
"""

import os
import random
import time
import uuid
from pathlib import Path
from typing import Any, TextIO

import msgspec
from locust import FastHttpUser, LoadTestShape, constant_throughput, task
from locust.contrib.fasthttp import FastResponse

SKU = os.environ.get("FLASHSALE_LOAD_SKU", "tv-55")
BASE = float(os.environ.get("FLASHSALE_LOAD_BASE", "50"))
SPIKE = float(os.environ.get("FLASHSALE_LOAD_SPIKE", "5000"))
SECONDS = float(os.environ.get("FLASHSALE_LOAD_SECONDS", "10"))
HISTORY = os.environ.get("FLASHSALE_LOAD_HISTORY")

SECONDS_BEFORE = 3
SECONDS_AFTER = 4
_ORDERS_A_USER = 10  # a second; few busy users cost a small machine less than many idle ones

# 409 and 503 are answers that a sale gives on purpose.
_EXPECTED = frozenset({202, 409, 429, 503})

_encode = msgspec.json.Encoder().encode


class HistoryFile:
    """A line for every order sent: the account that the report is made from."""

    def __init__(self) -> None:
        self._file: TextIO | None = None

    def write(self, *entry: Any) -> None:
        """Append a line, if a history was asked for."""
        if HISTORY is None:
            return
        if self._file is None:  # opened after the fork, by each worker for itself
            self._file = (Path(HISTORY) / f"history-{os.getpid()}.jsonl").open(
                "a", buffering=1 << 16
            )
        self._file.write(_encode(entry).decode() + "\n")


history = HistoryFile()


class Shopper(FastHttpUser):
    """Sends order after order, each as another customer with a key of its own."""

    wait_time = constant_throughput(_ORDERS_A_USER)
    network_timeout = 10.0
    connection_timeout = 10.0

    def on_start(self) -> None:
        """Come at a random moment, so that not all shoppers of a spike click in step."""
        time.sleep(random.random() / _ORDERS_A_USER)

    @task
    def order(self) -> None:
        """Order one item."""
        key = uuid.uuid4().hex
        sent = time.time()
        with self.client.post(
            "/orders",
            data=f'{{"sku":"{SKU}","customer_id":"c-{key[:12]}","quantity":1}}',
            headers={"Content-Type": "application/json", "Idempotency-Key": key},
            catch_response=True,
        ) as answer:
            seconds = time.time() - sent
            if answer.status_code in _EXPECTED:
                answer.success()
            else:
                answer.failure(f"unexpected answer {answer.status_code}")
            order_id, problem = _told(answer)
            history.write(sent, seconds, answer.status_code, order_id, problem, key)


def _told(answer: FastResponse) -> tuple[str, str]:
    """The order id and the problem that the answer names."""
    if answer.status_code == 202:
        return str(msgspec.json.decode(answer.content)["order_id"]), ""
    try:
        return "", msgspec.json.decode(answer.content)["type"].rpartition("/")[2]
    except (msgspec.DecodeError, KeyError, TypeError):
        return "", f"status-{answer.status_code}"


class Spike(LoadTestShape):
    """Calm, spike, calm, and the end."""

    def tick(self) -> tuple[int, float] | None:
        """How many shoppers there are now; Locust asks about once a second."""
        at = self.get_run_time()  # type: ignore[no-untyped-call]
        if at >= SECONDS_BEFORE + SECONDS + SECONDS_AFTER:
            return None
        in_spike = SECONDS_BEFORE <= at < SECONDS_BEFORE + SECONDS
        users = max(1, round((SPIKE if in_spike else BASE) / _ORDERS_A_USER))
        # Locust starts and stops shoppers at this rate: all at once, either way.
        return users, SPIKE
