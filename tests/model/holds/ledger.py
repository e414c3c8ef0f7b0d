"""A ledger that takes payments and cancellations, and may fail at the worst moments."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from flashsale.domain.holds.cancellations import CancelRefusal, ExtendRefusal
from flashsale.domain.holds.payments import Payment
from flashsale.ledger import LedgerUnavailable
from flashsale.ledger.hold_port import (
    Cancellation,
    Cancellations,
    Cancelled,
    Extended,
    Payments,
    PaymentsTaken,
)
from tests.model.faulty_ledger import FaultyLedger, SaleLedger
from tests.model.holds.expected import ExpectedHolds


class HoldLedger(SaleLedger, Payments, Cancellations, Protocol):
    """As much of a ledger as gateways and drains of sales with holds need."""


class FaultyHoldLedger(FaultyLedger):
    """Another ledger. Its faults befall the next payment, cancellation or extension, too."""

    expected: ExpectedHolds
    _ledger: HoldLedger

    async def take_payments(self, payments: Sequence[Payment], now: float) -> PaymentsTaken:
        await self._begin()
        taken = await self._ledger.take_payments(payments, now)
        self.expected.paid(taken, self.now())
        await self._end()
        return taken

    async def cancel(self, wanted: Cancellation, now: float) -> Cancelled | CancelRefusal:
        await self._begin()
        result = await self._ledger.cancel(wanted, now)
        self.expected.cancelled(wanted, result, self.now())
        await self._end()
        return result

    async def extend(
        self, order_id: str, now: float, customer_id: str | None = None
    ) -> Extended | ExtendRefusal:
        await self._begin()
        result = await self._ledger.extend(order_id, now, customer_id)
        self.expected.extended_by(order_id, result, now)
        await self._end()
        return result

    async def _begin(self) -> None:
        await asyncio.sleep(0)  # on its way there
        if self.befalls("payment lost before commit"):
            raise LedgerUnavailable("connection reset")

    async def _end(self) -> None:
        if self.befalls("payment lost after commit"):
            raise LedgerUnavailable("connection reset")
        await asyncio.sleep(0)  # the answer is on its way back
