"""Take in payments: those that come together share one transaction."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from flashsale.domain.holds.payments import Payment
from flashsale.domain.sales import Verdict
from flashsale.ledger import (
    LedgerBusy,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    PaymentAnswer,
    Payments,
)
from flashsale.observability.gateway_metrics import GatewayMetrics

log = structlog.get_logger()

MOST_TOGETHER = 200
"""The most payments of one transaction, which holds up the drain of their sales."""
_MOST_WAITING = 5_000
_ANSWER_SECONDS = 10.0

_Told = tuple[Payment, "asyncio.Future[PaymentAnswer]"]


class PaymentIntake:
    """Collects payments while a transaction runs, and takes them in with the next one."""

    def __init__(
        self,
        ledger: Payments,
        clock: Callable[[], float],
        announce: Callable[[Verdict], None],
        metrics: GatewayMetrics,
    ) -> None:
        """`clock` tells the Unix time; `announce` tells every gateway what has changed."""
        self._ledger = ledger
        self._clock = clock
        self._announce = announce
        self._metrics = metrics
        self._told: deque[_Told] = deque()
        self._any_told = asyncio.Event()

    async def take(self, payment: Payment) -> PaymentAnswer:
        """Return what became of a payment, once that is committed. Raises `LedgerError`.

        If the caller is gone, the payment is taken in all the same. After an error nobody knows
        whether it was: tell of it again.
        """
        if len(self._told) >= _MOST_WAITING:
            raise LedgerBusy("too many payments wait")
        answer: asyncio.Future[PaymentAnswer] = asyncio.get_running_loop().create_future()
        self._told.append((payment, answer))
        self._any_told.set()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await asyncio.shield(answer)
        except TimeoutError as error:
            raise LedgerUnavailable("no answer in time") from error

    async def run(self) -> None:
        """Keep taking in what was told."""
        while True:
            await self._any_told.wait()
            group = [self._told.popleft() for _ in range(min(len(self._told), MOST_TOGETHER))]
            if not self._told:
                self._any_told.clear()
            await self._take(group)

    async def _take(self, group: Sequence[_Told], *, again: bool = True) -> None:
        """Take in some payments in one transaction, and answer each of them."""
        try:
            taken = await self._ledger.take_payments([told for told, _ in group], self._clock())
        except LedgerRefused as error:
            if not again:
                log.error("payment not taken in", reason=str(error))
                _fail(group, error)
                return
            # Another gateway may have written one of these payments at this moment, with an order
            # of another sale. So each is tried by itself, and none hinders the others.
            for each in group:
                await self._take([each], again=False)
            return
        except LedgerError as error:
            log.warning("payments not taken in", count=len(group), reason=str(error))
            _fail(group, error)
            return
        except BaseException:
            _fail(group, LedgerUnavailable("the intake of payments ended"))
            raise
        self._metrics.payment_groups.inc()
        if taken.verdict.moved:
            self._announce(taken.verdict)
        for (_, waiting), answer in zip(group, taken.answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)


def _fail(group: Sequence[_Told], error: LedgerError) -> None:
    for _, answer in group:
        if not answer.done():
            answer.set_exception(error)
            answer.exception()  # the request that told of it may be gone
