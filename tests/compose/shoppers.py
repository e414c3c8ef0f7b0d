"""Shoppers who order while something breaks, and who want to know what became of each order."""

import itertools
import threading
import time
from typing import Any

from tests.compose.project import Project, ask

_RETRIES = 200


class Shoppers:
    """Order at some 20 a second until the context ends; retry under the key until told 202."""

    def __init__(self, project: Project, sku: str) -> None:
        self._project = project
        self._sku = sku
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._numbers = itertools.count()
        self.accepted: dict[str, str] = {}
        """The key of each accepted order by its id."""
        self.unanswered = 0

    def __enter__(self) -> "Shoppers":
        self._urls = self._project.gateways()
        for number in range(2):
            thread = threading.Thread(target=self._order, args=(number,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _order(self, number: int) -> None:
        while not self._stop.is_set():
            key = f"{self._sku}-{number}-{next(self._numbers)}"
            order = {"sku": self._sku, "customer_id": key}
            for attempt in range(_RETRIES):
                url = self._urls[(number + attempt) % len(self._urls)]
                status, answer = ask(f"{url}/orders", order, Idempotency_Key=key)
                if status == 202:
                    self.accepted[answer["order_id"]] = key
                    break
                self.unanswered += 1
                if self._stop.is_set():
                    break
                time.sleep(0.2)
            time.sleep(0.1)

    def until_all_confirmed(self) -> None:
        """Return once every accepted order is confirmed, by what any gateway says."""
        waiting = set(self.accepted)

        def none_waits() -> bool:
            urls = self._project.gateways()
            for order_id in list(waiting):
                for url in urls:
                    status, order = ask(f"{url}/orders/{order_id}")
                    if status == 200 and order["status"] == "confirmed":
                        waiting.discard(order_id)
                        break
                else:
                    return False
            return True

        self._project.until(none_waits, f"outcome of {len(waiting)} orders")
