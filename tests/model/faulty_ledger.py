"""A ledger that may fail, or see its drain die, at the worst moments; each commit is witnessed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal, Protocol

from flashsale.domain.audit_entries import PROGRAM, Author
from flashsale.domain.controls import Controls
from flashsale.domain.holds.rule import Allowance
from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale, Verdict
from flashsale.domain.steady_clock import ClockReading
from flashsale.ledger import (
    DrainLease,
    Due,
    Leases,
    LedgerBusy,
    LedgerRefused,
    LedgerUnavailable,
    Orders,
    Sales,
    Sink,
)
from flashsale.ledger.drain_port import NOTHING_ELSE, BeforeCommit, at_once
from tests.model.expected import DrainTime, Expected

LedgerFault = Literal[
    "busy",
    "lost before commit",
    "lost after commit",
    "drain dies before commit",
    "drain dies after commit",
    "drain dies after ack",
    "payment lost before commit",
    "payment lost after commit",
]


class SaleLedger(Sales, Orders, Leases[DrainLease], Protocol):
    """As much of a ledger as gateways and drains need."""


class FaultyLedger:
    """Another ledger, but for `fault`, which befalls the next batch."""

    def __init__(self, ledger: SaleLedger, expected: Expected, now: Callable[[], float]) -> None:
        self._ledger = ledger
        self.expected = expected
        self.now = now
        self.fault: LedgerFault | None = None
        self.kill_drain: Callable[[], None] = lambda: None
        self.unwritable: set[str] = set()
        """Customers whose orders the database refuses to store."""

    async def create_sale(self, sale: Sale, author: Author = PROGRAM) -> Sale:
        return await self._ledger.create_sale(sale, author)

    async def sales(self) -> list[Sale]:
        return await self._ledger.sales()

    async def find(self, order_ids: Sequence[OrderId]) -> dict[OrderId, Outcome]:
        return await self._ledger.find(order_ids)

    async def outcomes(self, sku: str) -> dict[str, Outcome]:
        return await self._ledger.outcomes(sku)

    @asynccontextmanager
    async def hold_drain(self, name: str) -> AsyncIterator["FaultyLease"]:
        async with self._ledger.hold_drain(name) as lease:
            yield FaultyLease(lease, self)

    def befalls(self, *faults: LedgerFault) -> LedgerFault | None:
        """The fault, if it is one of these; it will not come again."""
        fault = self.fault
        if fault in faults:
            self.fault = None
            return fault
        return None

    async def die(self) -> None:
        """Stop here, for ever."""
        self.kill_drain()
        await asyncio.get_running_loop().create_future()


class FaultyLease:
    """Another lease, but for its sink."""

    def __init__(self, lease: DrainLease, ledger: FaultyLedger) -> None:
        self._lease = lease
        self._ledger = ledger

    @property
    def controls(self) -> Controls:
        return self._lease.controls

    @property
    def kept_rate(self) -> float | None:
        return self._lease.kept_rate

    @kept_rate.setter
    def kept_rate(self, rate: float | None) -> None:
        self._lease.kept_rate = rate

    @property
    def clock_reading(self) -> ClockReading | None:
        return self._lease.clock_reading

    def open_sink(self, before_commit: BeforeCommit = at_once) -> "FaultySink":
        return FaultySink(self._lease.open_sink(before_commit), self._ledger)

    async def touch(self) -> None:
        await self._lease.touch()

    async def due(self, now: float, most: int) -> Due:
        return await self._lease.due(now, most)


class FaultySink:
    """Another sink; what it commits is shown to the model before anybody acts on it."""

    def __init__(self, sink: Sink, ledger: FaultyLedger) -> None:
        self._sink = sink
        self._ledger = ledger
        self.steps: Mapping[str, float] = {}

    async def sell(
        self,
        batch: Sequence[Order],
        now: float,
        replayed: Sequence[str] = (),
        traceparents: Mapping[str, str] | None = None,
        allowance: Allowance = NOTHING_ELSE,
    ) -> Verdict:
        ledger = self._ledger
        released = len(batch) + allowance.due + allowance.replaced
        ledger.expected.released(ledger.now(), released)
        await asyncio.sleep(0)  # on its way there
        match ledger.befalls("busy", "lost before commit", "drain dies before commit"):
            case "busy":
                raise LedgerBusy("deadlock detected")
            case "lost before commit":
                raise LedgerUnavailable("connection reset")
            case "drain dies before commit":
                await ledger.die()
        if ledger.unwritable and self._refuses(batch, replayed):
            raise LedgerRefused("value out of range")
        verdict = await self._sink.sell(batch, now, replayed, traceparents, allowance)
        drain = DrainTime(now, allowance.due)
        ledger.expected.committed(batch, replayed, verdict, ledger.now(), drain)
        match ledger.befalls("lost after commit", "drain dies after commit"):
            case "lost after commit":
                raise LedgerUnavailable("connection reset")
            case "drain dies after commit":
                await ledger.die()
        await asyncio.sleep(0)  # the answer is on its way back
        return verdict

    def _refuses(self, batch: Sequence[Order], replayed: Sequence[str]) -> bool:
        # Only what would be inserted can be refused.
        return any(
            order.customer_id in self._ledger.unwritable
            and self._ledger.expected.would_decide(order.id, replayed)
            for order in batch
        )

    async def fail(
        self, order_id: OrderId, reason: str, now: float, customer_id: str | None = None
    ) -> None:
        await asyncio.sleep(0)
        await self._sink.fail(order_id, reason, now, customer_id)
        self._ledger.expected.failed(order_id, reason)
        await asyncio.sleep(0)
