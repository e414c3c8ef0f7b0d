"""Shoppers whose orders are held: some pay, some fail to, some leave, and some are late.

They also are the payment provider that tells the gateway of it, so they know its secret.
"""

import json
import os
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.pool import Group

from flashsale.audit.history import StatusPoll
from flashsale.messages.standard_webhooks import parse_secret, signed_headers

_WAIT_SECONDS = 10
_ATTEMPTS = 20
_AGAIN_SECONDS = 1.0
# What the gateway may answer if it does not know whether the payment was taken in.
_TELL_AGAIN = frozenset({0, 429, 502, 503, 504})


@dataclass(frozen=True)
class Habits:
    """The shares of shoppers with a hold who pay, whose payment fails, and who pay too late.

    All others leave. `seconds` is the longest that a shopper takes to pay. `late_seconds` is how
    long after its end a late payment comes; a gateway waits for 30 s.
    """

    pay: float = 0.7
    fail: float = 0.1
    late: float = 0.1
    seconds: float = 5.0
    late_seconds: float = 32.0

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Habits":
        """Return the habits that FLASHSALE_LOAD_PAY and its like set."""
        names = {name: f"FLASHSALE_LOAD_{name.upper()}" for name in ("pay", "fail", "late")}
        names |= {"seconds": "FLASHSALE_LOAD_PAY_SECONDS"}
        names |= {"late_seconds": "FLASHSALE_LOAD_LATE_SECONDS"}
        return cls(**{k: float(environment[v]) for k, v in names.items() if v in environment})

    def plan(self, luck: float) -> str:
        """Return what a shopper does, who is as lucky as this number from 0 to 1."""
        for name in ("pay", "fail", "late"):
            luck -= getattr(self, name)
            if luck < 0:
                return name
        return "leave"


class Payers:
    """The shoppers who were told 202, until what they ordered is theirs or somebody else's."""

    def __init__(
        self, secret: str, record: Callable[[StatusPoll], None], habits: Habits | None = None
    ) -> None:
        """Sign with the secret, and record what shoppers were told. Raises `SecretError`."""
        self._key = parse_secret(secret)
        self._record = record
        self._habits = habits or Habits.read(os.environ)
        # They do not end with the stream of orders that they came in.
        self._group = Group()

    def follow(self, client: Any, host: str, location: str, order_id: str) -> None:
        """Have the shopper look at the order, and pay for it if it is held."""
        self._group.spawn(self._follow, client, host, location, order_id)

    def _follow(self, client: Any, host: str, location: str, order_id: str) -> None:
        gevent.sleep(0.5 + random.random())
        waited, wait = False, False
        while True:
            view = self._look(client, host, location, order_id, wait=wait)
            state = view.get("status")
            if state == "held":
                # Who has waited in line is glad, and pays.
                plan = "pay" if waited else self._habits.plan(random.random())
                self._pay(client, order_id, plan, float(view["expires_in_seconds"]))
                return
            if state not in ("queued", "waitlisted"):
                return
            waited = waited or state == "waitlisted"
            if wait:
                gevent.sleep(0.1)
            wait = True

    def _look(
        self, client: Any, host: str, location: str, order_id: str, *, wait: bool
    ) -> dict[str, Any]:
        """Return the order as its shopper sees it, at its next change if `wait`; {} if it fails."""
        at = time.monotonic()
        headers = {"Prefer": f"wait={_WAIT_SECONDS}"} if wait else {}
        with client.get(
            location, headers=headers, name="GET Location", catch_response=True
        ) as told:
            status = told.status_code
            view: dict[str, Any] = json.loads(told.content) if status == 200 else {}
            state = str(view.get("status", ""))
            seconds = time.monotonic() - at
            self._record(StatusPoll(at, seconds, order_id, status, state, host))
            if status != 200:
                told.failure(f"status {status} for an accepted order")
            elif state == "failed":
                told.failure("an accepted order is failed")
        return view

    def _pay(self, client: Any, order_id: str, plan: str, left: float) -> None:
        """Do as planned with a hold that ends in so many seconds."""
        if plan == "leave":
            return
        soon = min(random.random() * self._habits.seconds, 0.8 * left)
        gevent.sleep(left + self._habits.late_seconds if plan == "late" else soon)
        payment = {
            "order_id": order_id,
            "payment_id": f"pay_{uuid.uuid4().hex}",
            "outcome": "failed" if plan == "fail" else "succeeded",
        }
        body, delivery = json.dumps(payment).encode(), f"msg_{uuid.uuid4().hex}"
        for _ in range(_ATTEMPTS):
            if self._tell(client, body, delivery):
                return
            gevent.sleep(_AGAIN_SECONDS)

    def _tell(self, client: Any, body: bytes, delivery: str) -> bool:
        """Tell of a payment; return whether there is an answer to it."""
        signed = signed_headers([self._key], delivery, int(time.time()), body)
        with client.post(
            "/payments",
            data=body,
            headers={"Content-Type": "application/json"} | signed,
            name="POST /payments",
            catch_response=True,
        ) as answer:
            status = answer.status_code
            if status == 200:
                result = json.loads(answer.content)["result"]
                answer.request_meta["name"] = f"POST /payments ({result})"
            elif status in _TELL_AGAIN:
                answer.request_meta["name"] = f"POST /payments (again after {status})"
                answer.success()
                return False
            else:
                answer.failure(f"unexpected answer {status}")
        return True
