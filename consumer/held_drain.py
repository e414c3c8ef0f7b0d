"""Hold the lease of a drain, follow its controls, and consume its queue."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic

import structlog

from consumer.drain_parts import DrainParts
from consumer.hold_expiry import HoldExpiry
from flashsale.broker import BrokerError, Deliveries
from flashsale.domain.backoff import Backoff
from flashsale.ledger import LEASE_SECONDS, Lease, LedgerError

log = structlog.get_logger()

FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 2.0

_TAKEOVER_SECONDS = 1.0
# An operator's change is obeyed within a second, whatever the drain waits for. An idle session
# would time out and lose the lease.
_LOOK_SECONDS = min(0.3, LEASE_SECONDS / 4)


@dataclass(eq=False)
class HeldDrain(Generic[Lease]):
    """A drain whose lease this process holds."""

    lease: Lease
    parts: DrainParts[Lease]
    renewed_at: float = 0.0
    """The latest moment, by the monotonic clock, at which the lease was surely held."""
    look_at: float = 0.0
    """When the controls are looked at next, by the same clock."""
    expiry: HoldExpiry = field(default_factory=HoldExpiry)

    async def wait_while_paused(self) -> None:
        """Keep the lease until the drain is not paused."""
        await self.look()
        while self.parts.control.paused:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()
            # Payments do not wait for the drain, nor do their events.
            await self.look_for_due(behind=False)

    async def look_for_due(self, *, behind: bool) -> None:
        """Look for what the holds need. Gateways write events, too, which the relay is to find."""
        control = self.parts.control
        clock = self.parts.gate.clock
        clock.follow(self.lease.clock_reading)
        looked = await self.expiry.look(self.lease, control.batch, clock.now())
        if looked and self.expiry.nothing_held:
            clock.catch_up()
        if self.expiry.holds and (looked or control.paused):
            self.parts.wake_relay(behind)

    @asynccontextmanager
    async def consumer(self, prefetch: int) -> AsyncIterator[Deliveries]:
        """Consume the queue. A busy broker may take seconds until that begins."""
        async with AsyncExitStack() as exits:
            consumer = exits.enter_async_context(
                self.parts.broker.consume(self.parts.queue, prefetch)
            )
            opening = asyncio.create_task(consumer, name="consumer opens")
            try:
                while not (await asyncio.wait((opening,), timeout=_LOOK_SECONDS))[0]:
                    await self.look()
            finally:
                if not opening.done():
                    opening.cancel()
                    await asyncio.wait((opening,))
            yield opening.result()

    async def look_until(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Return after `wait`, or as soon as the controls have changed.

        However short the waits are, the lease is renewed in time: by a look, unless a batch was it.
        However long a look takes, there is time to wait after it.
        """
        while True:
            left = self.look_at - time.monotonic()
            if left > 0:
                try:
                    async with asyncio.timeout(left):
                        return await wait()
                except TimeoutError:
                    pass
            if await self.look():
                return

    async def look(self) -> bool:
        """Keep the lease, and follow the controls; return whether they have changed."""
        began = time.monotonic()
        await self.lease.touch()
        self.renewed(began)
        self.parts.gate.clock.follow(self.lease.clock_reading)
        changed = self.follow()
        self.parts.announcer.announce_time()
        return changed

    def renewed(self, began: float) -> None:
        """Note that a transaction which began then has kept the lease, and read the controls."""
        self.renewed_at = began
        self.look_at = time.monotonic() + _LOOK_SECONDS

    def follow(self) -> bool:
        """Take in the controls that the lease has read; return whether they have changed."""
        changed = self.parts.control.follow(self.lease.controls)
        if changed:
            log.info(
                "drain follows its controls",
                paused=self.parts.control.paused,
                rate=self.parts.control.rate,
                version=self.lease.controls.version,
                reason=self.lease.controls.drain_reason,
            )
            self.parts.metrics.paused.set(self.parts.control.paused)
        return changed


Drain = Callable[[HeldDrain[Lease], Deliveries, int], Awaitable[None]]
"""Drains what a consumer with that prefetch delivers, until the queue needs another consumer."""


@dataclass(eq=False)
class DrainHolder(Generic[Lease]):
    """Holds the lease of a drain whenever no other process does."""

    parts: DrainParts[Lease]

    async def hold(
        self,
        begin: Callable[[Lease], None],
        prefetch: Callable[[], int],
        drain: Drain[Lease],
        stop: asyncio.Event,
    ) -> None:
        """Drain until `drain` returns after `stop`. `begin` is called with each new lease."""
        parts = self.parts
        backoff = Backoff(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
        while not stop.is_set():
            try:
                async with parts.leases.hold_drain(parts.queue) as lease:
                    # Two readings of the database's clock, a second apart, say more than one.
                    await lease.touch()
                    parts.gate.clock.follow(lease.clock_reading)
                    # The previous holder may have released a full second's orders just now.
                    await asyncio.sleep(_TAKEOVER_SECONDS)
                    begin(lease)
                    held = HeldDrain(lease, parts)
                    while not stop.is_set():
                        await held.wait_while_paused()
                        most = prefetch()
                        async with held.consumer(most) as deliveries:
                            log.info("drain is active", queue=parts.queue)
                            parts.metrics.active.set(1)
                            parts.wake_relay(False)  # the previous holder may have left events
                            parts.announcer.announce_time()
                            backoff.reset()
                            await drain(held, deliveries, most)
            except (BrokerError, LedgerError, TimeoutError) as error:
                # Unsettled orders went back to the queue, and come again in the same order.
                log.warning("drain interrupted", reason=str(error) or type(error).__name__)
            finally:
                parts.metrics.active.set(0)
            await asyncio.sleep(backoff.next())
