"""Tell every gateway what was decided: one message a batch, to the fanout exchange."""

import asyncio
import time
from collections.abc import Sequence

import structlog

from consumer.drain_control import DrainControl
from consumer.drain_speed import DrainSpeed
from flashsale.broker import Broker, BrokerError
from flashsale.domain.sales import Verdict
from flashsale.messages.announcements import (
    BatchDecided,
    Decision,
    Progress,
    decision_on,
    encode_announcement,
)

log = structlog.get_logger()


class Announcer:
    """Says what is committed. Nobody waits for it: whoever misses it reads the ledger."""

    def __init__(self, broker: Broker, exchange: str, control: DrainControl) -> None:
        """Publish to the fanout exchange of that name; `control` has the limit in force."""
        self._broker = broker
        self._exchange = exchange
        self._control = control
        self._speed = DrainSpeed(control)

    def tell(self, verdict: Verdict, behind: bool) -> None:
        """Tell of a batch; `behind`: more orders were waiting when it was done."""
        self._speed.add(time.monotonic(), len(verdict.outcomes), behind)
        self._publish(
            [decision_on(outcome) for outcome in verdict.outcomes],
            [Progress(sale.sku, sale.stock, sale.sold) for sale in verdict.sales],
        )

    def tell_failed(self, decision: Decision) -> None:
        """Tell of an order that is dead."""
        self._publish([decision], [])

    def _publish(self, decisions: Sequence[Decision], sales: Sequence[Progress]) -> None:
        message = BatchDecided(list(decisions), list(sales), self._speed.rate, self._control.rate)
        try:
            told = self._broker.publish(
                self._exchange, "", encode_announcement(message), message_id="", mandatory=False
            )
        except BrokerError as error:
            log.debug("nobody was told", reason=str(error))
        else:
            told.add_done_callback(_forget)


def _forget(told: asyncio.Future[None]) -> None:
    if not told.cancelled() and (error := told.exception()):
        log.debug("nobody was told", reason=str(error))
