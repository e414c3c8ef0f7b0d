"""Look orders up in the ledger that this gateway does not know, with a limit on the queries."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from itertools import islice

from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Outcome
from flashsale.domain.pacing import Pacer
from flashsale.ledger import LedgerError, LedgerUnavailable, Orders
from flashsale.observability.gateway_metrics import GatewayMetrics

_IDS_A_QUERY = 1000
_MOST_ASKED = 20_000


class LedgerLookup:
    """Collects ids and looks up to a thousand of them up in one query.

    However many clients ask, the database gets at most `queries` queries in any second.
    """

    def __init__(self, ledger: Orders, queries: int, metrics: GatewayMetrics) -> None:
        self._ledger = ledger
        self._pacer = Pacer(queries, 1)
        self._metrics = metrics
        self._asked: dict[OrderId, asyncio.Future[Outcome | None]] = {}
        self._any_asked = asyncio.Event()

    async def find(self, order_id: OrderId) -> Outcome | None:
        """Return the outcome of an order, None if it is not decided. Raises `LedgerError`."""
        answer = self._asked.get(order_id)
        if answer is None:
            if len(self._asked) >= _MOST_ASKED:
                raise LedgerUnavailable("too many ask at once")
            answer = self._asked[order_id] = asyncio.get_running_loop().create_future()
            self._any_asked.set()
        return await asyncio.shield(answer)

    async def find_all(self, order_ids: Sequence[OrderId]) -> dict[OrderId, Outcome]:
        """Return the outcomes of those orders that are decided. Raises `LedgerError`."""
        found: dict[OrderId, Outcome] = {}
        for start in range(0, len(order_ids), _IDS_A_QUERY):
            await self._pace()
            found |= await self._ledger.find(order_ids[start : start + _IDS_A_QUERY])
        return found

    async def run(self) -> None:
        """Keep answering."""
        while True:
            await self._any_asked.wait()
            await self._pace()
            await self._answer(list(islice(self._asked, _IDS_A_QUERY)))

    async def _pace(self) -> None:
        """Wait until another query is allowed."""
        while not self._pacer.take(time.monotonic(), 1):  # noqa: ASYNC110 a pace
            await asyncio.sleep(self._pacer.delay(time.monotonic()))
        self._metrics.lookups.inc()

    async def _answer(self, ids: list[OrderId]) -> None:
        answers = {order_id: self._asked.pop(order_id) for order_id in ids}
        if not self._asked:
            self._any_asked.clear()
        try:
            found = await self._ledger.find(ids)
        except LedgerError as error:
            _fail(answers.values(), error)
        except BaseException:
            _fail(answers.values(), LedgerUnavailable("the reader of the ledger ended"))
            raise
        else:
            for order_id, answer in answers.items():
                answer.set_result(found.get(order_id))


def _fail(answers: Iterable[asyncio.Future[Outcome | None]], error: LedgerError) -> None:
    for answer in answers:
        answer.set_exception(error)
        answer.exception()  # the request that asked may be gone
