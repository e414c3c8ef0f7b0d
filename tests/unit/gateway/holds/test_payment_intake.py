"""Payments that come together share a transaction, and each gets its own answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from flashsale.domain.holds.payments import Disposition, Payment
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Verdict
from flashsale.ledger import (
    LedgerBusy,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    PaymentAnswer,
    PaymentsTaken,
)
from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.holds import payment_intake
from gateway.holds.payment_intake import MOST_TOGETHER, PaymentIntake
from tests.conftest import an_order


class Books:
    """A ledger that takes in payments when it is told to, and fails when it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.errors: list[BaseException] = []
        self.refused: set[str] = set()

    async def take_payments(self, payments: Sequence[Payment], now: float) -> PaymentsTaken:
        ids = [payment.payment_id for payment in payments]
        self.groups.append(ids)
        await self.may_commit.wait()
        if self.errors:
            raise self.errors.pop(0)
        if self.refused & set(ids):
            raise LedgerRefused("a row is there already")
        answers = [PaymentAnswer(payment, Disposition.CONFIRMED) for payment in payments]
        moved = [Outcome(an_order(), Status.CONFIRMED, expires_at=1.0) for _ in payments]
        return PaymentsTaken(answers, Verdict([], [], moved))


class Intake(PaymentIntake):
    """An intake on such a ledger, and what it has announced."""

    def __init__(self) -> None:
        self.books, self.announced = Books(), list[Verdict]()
        self.metrics = GatewayMetrics()
        super().__init__(self.books, lambda: 1_000.0, self.announced.append, self.metrics)

    async def taken(self, *ids: str) -> list[Disposition | str]:
        results = await asyncio.gather(*map(self._taken, ids))
        return list(results)

    async def _taken(self, payment_id: str) -> Disposition | str:
        try:
            answer = await self.take(Payment("0" * 32, payment_id, "succeeded"))
        except LedgerError as error:
            return type(error).__name__
        assert answer.payment.payment_id == payment_id
        return Disposition(str(answer.result))


@pytest.fixture
async def intake() -> AsyncIterator[Intake]:
    opened = Intake()
    running = asyncio.create_task(opened.run())
    yield opened
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_those_that_come_while_a_transaction_runs_share_the_next(intake: Intake) -> None:
    intake.books.may_commit.clear()
    first = asyncio.create_task(intake.taken("p-0"))
    while not intake.books.groups:
        await asyncio.sleep(0)
    others = asyncio.create_task(intake.taken(*(f"p-{number}" for number in range(1, 300))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    intake.books.may_commit.set()
    assert await first == ["confirmed"]
    assert await others == ["confirmed"] * 299
    assert [len(group) for group in intake.books.groups] == [1, MOST_TOGETHER, 99]
    assert [len(verdict.moved) for verdict in intake.announced] == [1, MOST_TOGETHER, 99]


async def test_one_that_the_ledger_refuses_hinders_no_other(intake: Intake) -> None:
    intake.books.refused = {"p-1"}
    assert await intake.taken("p-0", "p-1", "p-2") == ["confirmed", "LedgerRefused", "confirmed"]
    assert intake.books.groups == [["p-0", "p-1", "p-2"], ["p-0"], ["p-1"], ["p-2"]]


async def test_one_that_is_refused_for_a_moment_is_tried_again(intake: Intake) -> None:
    intake.books.errors = [LedgerRefused("another gateway writes it")]
    assert await intake.taken("p-0") == ["confirmed"]


async def test_after_an_error_all_are_told_and_the_next_are_taken_in(intake: Intake) -> None:
    intake.books.errors = [LedgerUnavailable("gone"), LedgerBusy("locked")]
    assert await intake.taken("p-0", "p-1") == ["LedgerUnavailable"] * 2
    assert await intake.taken("p-2") == ["LedgerBusy"]
    assert await intake.taken("p-0") == ["confirmed"]


async def test_a_payment_is_taken_in_though_nobody_waits_for_the_answer(intake: Intake) -> None:
    intake.books.may_commit.clear()
    waits = asyncio.create_task(intake.taken("p-0"))
    while not intake.books.groups:
        await asyncio.sleep(0)
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    intake.books.may_commit.set()
    assert await intake.taken("p-1") == ["confirmed"]
    assert len(intake.announced) == 2


async def test_when_the_task_ends_those_who_wait_are_told() -> None:
    intake = Intake()
    intake.books.may_commit.clear()
    running = asyncio.create_task(intake.run())
    waits = asyncio.create_task(intake.taken("p-0"))
    while not intake.books.groups:
        await asyncio.sleep(0)
    running.cancel()
    assert await waits == ["LedgerUnavailable"]


async def test_a_flood_is_refused_before_it_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(payment_intake, "_MOST_WAITING", 2)
    monkeypatch.setattr(payment_intake, "_ANSWER_SECONDS", 0.05)
    intake = Intake()  # nothing takes them in
    results = await intake.taken("p-0", "p-1", "p-2")
    assert results == ["LedgerUnavailable", "LedgerUnavailable", "LedgerBusy"]
