"""Show what waits, disable endpoints for which too much waits, and delete what is old."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from flashsale.ledger import LedgerError, WebhookBoard, WebhookQueue
from services.builtin.webhook.metrics import WebhookMetrics
from services.waiting import first_of

log = structlog.get_logger()

_SHOW_SECONDS = 15.0
_SHOWS_PER_PRUNING = 40


@dataclass(frozen=True, kw_only=True)
class Housekeeping:
    """The work of each process on the tables, beside the sending."""

    board: WebhookBoard
    queue: WebhookQueue
    metrics: WebhookMetrics
    most_waiting: int
    log_seconds: float
    clock: Callable[[], float]

    async def run(self, stop: asyncio.Event) -> None:
        """Keep house until `stop`."""
        rounds = 0
        while not stop.is_set():
            try:
                await self.once(prune=rounds % _SHOWS_PER_PRUNING == 0)
            except LedgerError as error:
                log.warning("webhook tables not looked at", reason=str(error))
            rounds += 1
            await first_of(stop.wait(), seconds=_SHOW_SECONDS)

    async def once(self, *, prune: bool) -> None:
        """Do one round. Raises `LedgerError`."""
        now = self.clock()
        limited = await self.queue.limit_backlogs(self.most_waiting, now)
        for endpoint_id in limited.disabled:
            log.error("webhook endpoint is disabled", endpoint=endpoint_id)
        self.metrics.show(await self.board.backlogs(), now)
        while prune and await self.queue.prune(now - self.log_seconds):
            pass
