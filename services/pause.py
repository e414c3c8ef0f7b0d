"""The pause of a service whose other side is away, such as a mail server that takes no mail."""

import asyncio
import time
from contextlib import suppress
from typing import Literal

import structlog
from prometheus_client import Gauge

from flashsale.domain.backoff import Backoff
from services.errors import Unavailable

log = structlog.get_logger()

_FIRST_SECONDS = 1.0
_LAST_SECONDS = 60.0
# A server that limits its rate causes a short pause every second.
_LOG_SECONDS = 30.0


class Pause:
    """Decides when a service takes events: all it can, none, or one as a probe.

    The first event that meets an absent other side starts a pause. After it the service takes one
    event. If the other side is still away, a longer pause follows, of up to a minute.
    """

    def __init__(self, service: str, paused: Gauge) -> None:
        """Show in `paused` whether the other side is away: 1 or 0."""
        self._service = service
        self._gauge = paused
        self._gauge.set(0)
        self._backoff = Backoff(_FIRST_SECONDS, _LAST_SECONDS)
        self._state: Literal["off", "paused", "probing"] = "off"
        self._until = 0.0
        self._logged_at = -_LOG_SECONDS
        self._logged = False
        self.changed = asyncio.Event()
        """Set when the running consumer must end, as another prefetch applies from now on."""

    @property
    def probing(self) -> bool:
        """Whether the service is to try one event only."""
        return self._state == "probing"

    def begin(self, error: Unavailable) -> None:
        """Pause, as an event met an absent other side."""
        now = time.monotonic()
        if self._state == "paused":  # other events of the same moment
            self._until = max(self._until, now + error.retry_after)
            return
        seconds = max(self._backoff.next(), error.retry_after)
        self._until = now + seconds
        self._state = "paused"
        self._gauge.set(1)
        self.changed.set()
        if now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            self._logged = True
            log.warning(
                "service is paused",
                service=self._service,
                reason=str(error),
                for_seconds=round(seconds, 1),
            )

    def end_probe(self, *, answered: bool) -> None:
        """Take all events again: the other side has `answered`, or no event is there to try."""
        if self._state != "probing":
            return
        if answered:
            self._backoff.reset()
        if self._logged:
            self._logged = False
            log.info("service goes on", service=self._service)
        self._state = "off"
        self._gauge.set(0)
        self.changed.set()

    async def wait(self, stop: asyncio.Event) -> None:
        """Wait until the service may take an event, or until `stop`."""
        while self._state == "paused" and not stop.is_set():
            left = self._until - time.monotonic()
            if left <= 0:
                self._state = "probing"
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await stop.wait()
        self.changed.clear()
