"""Announce decisions to every gateway: one message for each batch, to the fanout exchange."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from consumer.drain_control import DrainControl
from consumer.drain_speed import DrainSpeed
from flashsale.broker import Broker, BrokerError
from flashsale.domain.sales import Verdict
from flashsale.messages.announcements import (
    Announcement,
    BatchDecided,
    Decision,
    Progress,
    decision_on,
    encode_announcement,
    orders_moved,
    progress_of,
)

log = structlog.get_logger()


class Announcer:
    """Announces committed decisions.

    Nothing waits for an announcement. A gateway that misses one reads the ledger instead.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        exchange: str,
        control: DrainControl,
        owners: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Publish to the fanout exchange of that name; `control` has the limit in force.

        With `owners` each decision says whose order it is. `clock` is that of the drain.
        """
        self._broker = broker
        self._exchange = exchange
        self._control = control
        self._owners = owners
        self._clock = clock
        self._speed = DrainSpeed(control)

    def announce(self, verdict: Verdict, behind: bool, decided: int | None = None) -> None:
        """Announce a decided batch; `behind`: more orders were waiting when it was decided.

        `decided` is how many of them were decided just now, None for all.
        """
        decided = len(verdict.outcomes) if decided is None else decided
        if decided:
            self._speed.add(time.monotonic(), decided, behind)
        self._publish(
            [decision_on(outcome, owner=self._owners) for outcome in verdict.outcomes],
            [progress_of(sale) for sale in verdict.sales],
        )
        if verdict.moved:
            self._send(orders_moved(verdict, owners=self._owners))

    def announce_failed(self, decision: Decision) -> None:
        """Announce an order that failed."""
        self._publish([decision], [])

    def announce_time(self) -> None:
        """Tell nothing but the time, by which gateways check their clocks."""
        self._publish([], [])

    def _publish(self, decisions: Sequence[Decision], sales: Sequence[Progress]) -> None:
        now, resumes_at = self._clock(), self._control.resumes_at
        message = BatchDecided(
            list(decisions),
            list(sales),
            self._speed.rate,
            self._control.rate,
            now,
            self._control.paused,
            self._control.cap,
            self._control.reason,
            None if resumes_at is None else now + resumes_at - time.monotonic(),
        )
        self._send(message)

    def _send(self, message: Announcement) -> None:
        try:
            confirm = self._broker.publish(
                self._exchange, "", encode_announcement(message), message_id="", mandatory=False
            )
        except BrokerError as error:
            log.debug("announcement lost", reason=str(error))
        else:
            confirm.add_done_callback(_log_failure)


def _log_failure(confirm: asyncio.Future[None]) -> None:
    if not confirm.cancelled() and (error := confirm.exception()):
        log.debug("announcement lost", reason=str(error))
