"""Orders that this gateway does not know, looked up in the ledger: never more than so often."""

import asyncio
import time
from collections.abc import Sequence
from itertools import islice

from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Outcome
from flashsale.domain.pacing import Pacer
from flashsale.ledger import LedgerError, LedgerUnavailable, Orders
from flashsale.observability.gateway_metrics import GatewayMetrics

_IDS_A_QUERY = 1000
_MOST_ASKED = 20_000


class Lookup:
    """One reader for everybody: questions gather, and a query answers a thousand of them.

    However many ask, the database gets at most so many queries in any second.
    """

    def __init__(self, ledger: Orders, queries: int, metrics: GatewayMetrics) -> None:
        """At most `queries` a second."""
        self._ledger = ledger
        self._pacer = Pacer(queries, 1)
        self._metrics = metrics
        self._asked: dict[OrderId, asyncio.Future[Outcome | None]] = {}
        self._any = asyncio.Event()

    async def find(self, order_id: OrderId) -> Outcome | None:
        """What was decided about an order. Raises `LedgerError`."""
        answer = self._asked.get(order_id)
        if answer is None:
            if len(self._asked) >= _MOST_ASKED:
                raise LedgerUnavailable("too many ask at once")
            answer = self._asked[order_id] = asyncio.get_running_loop().create_future()
            self._any.set()
        return await asyncio.shield(answer)

    async def find_all(self, order_ids: Sequence[OrderId]) -> dict[OrderId, Outcome]:
        """What was decided about these orders, as far as anything was. Raises `LedgerError`."""
        found: dict[OrderId, Outcome] = {}
        for start in range(0, len(order_ids), _IDS_A_QUERY):
            await self._turn()
            found |= await self._ledger.find(order_ids[start : start + _IDS_A_QUERY])
        return found

    async def run(self) -> None:
        """Keep answering."""
        while True:
            await self._any.wait()
            await self._turn()
            await self._answer(list(islice(self._asked, _IDS_A_QUERY)))

    async def _turn(self) -> None:
        """Wait until another query may be made."""
        while not self._pacer.take(time.monotonic(), 1):  # noqa: ASYNC110 a pace
            await asyncio.sleep(self._pacer.delay(time.monotonic()))
        self._metrics.lookups.inc()

    async def _answer(self, ids: list[OrderId]) -> None:
        answers = {order_id: self._asked.pop(order_id) for order_id in ids}
        if not self._asked:
            self._any.clear()
        try:
            found = await self._ledger.find(ids)
        except LedgerError as error:
            for answer in answers.values():
                answer.set_exception(error)
                answer.exception()  # whoever asked may be gone
        else:
            for order_id, answer in answers.items():
                answer.set_result(found.get(order_id))
