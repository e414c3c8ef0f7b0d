"""Take in payments: many in one transaction, each by the rule of `flashsale.domain.holds`."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.holds.counts import Counts
from flashsale.domain.holds.payments import (
    Disposition,
    Payment,
    PaymentRefusal,
    Recorded,
    RefundReason,
    Standing,
    known_answer,
    settle_payment,
)
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Verdict
from flashsale.ledger.hold_port import PaymentAnswer, PaymentsTaken
from flashsale.ledger.sql.bulk import among
from flashsale.ledger.sql.holds.changes import change_orders, set_counts, tell_refunds
from flashsale.ledger.sql.holds.locking import Locked, held_by_customer, lock_orders
from flashsale.ledger.sql.holds.payment_tables import PAYS, payment_webhooks
from flashsale.ledger.sql.holds.payment_tables import payments as paid_table


async def take_payments(
    connection: AsyncConnection, told: Sequence[Payment], now: float
) -> PaymentsTaken:
    """Take in payments in the connection's transaction, at Unix time `now`, in their order."""
    locked = await lock_orders(connection, {payment.order_id for payment in told})
    intake = await _begin(connection, told, locked)
    answers = [await intake.take(payment) for payment in told]
    await intake.write(now)
    sales = [counts.after() for _, counts in sorted(intake.counts.items())]
    return PaymentsTaken(answers, Verdict([], sales, list(intake.moved.values())))


async def _begin(connection: AsyncConnection, told: Sequence[Payment], locked: Locked) -> "_Intake":
    """Read what was told before. The sales are locked, so nobody tells more of these orders."""
    dialect = connection.dialect.name
    webhooks = await connection.execute(
        select(payment_webhooks.c.webhook_id, payment_webhooks.c.payment_id).where(
            among(dialect, payment_webhooks.c.webhook_id, "ids")
        ),
        {"ids": sorted({p.webhook_id for p in told if p.webhook_id is not None})},
    )
    by_webhook = {row.webhook_id: row.payment_id for row in webhooks}
    known = await connection.execute(
        select(paid_table).where(among(dialect, paid_table.c.payment_id, "ids")),
        {"ids": sorted({*(p.payment_id for p in told), *by_webhook.values()})},
    )
    recorded = {
        row.payment_id: Recorded(row.payment_id, row.order_id, Disposition(row.disposition))
        for row in known
    }
    paid = await connection.execute(
        select(paid_table.c.order_id).where(
            PAYS,
            among(dialect, paid_table.c.order_id, "ids"),
        ),
        {"ids": sorted({payment.order_id for payment in told})},
    )
    return _Intake(connection, locked, by_webhook, recorded, set(paid.scalars()))


class _Intake:
    """Some payments while they are taken in, and what they have changed so far."""

    def __init__(
        self,
        connection: AsyncConnection,
        locked: Locked,
        by_webhook: Mapping[str, str],
        recorded: Mapping[str, Recorded],
        paid: set[str],
    ) -> None:
        self._connection = connection
        self._before = locked.sales
        self._outcomes = locked.outcomes
        self.counts = {sku: Counts(sale) for sku, sale in locked.sales.items()}
        self._by_webhook = dict(by_webhook)
        self._recorded = dict(recorded)
        self._known_before = frozenset(recorded)
        self._paid = paid
        self.moved: dict[str, Outcome] = {}
        self._revived: set[str] = set()
        """Those that were expired."""
        self._payers: dict[str, Payment] = {}
        self._refunds: list[tuple[Outcome, Payment, RefundReason]] = []
        self._rows: dict[str, dict[str, Any]] = {}
        self._webhooks: dict[str, str] = {}

    async def take(self, payment: Payment) -> PaymentAnswer:
        webhook_id = payment.webhook_id
        if webhook_id is not None and webhook_id in self._by_webhook:
            # The same delivery again, whatever is in it.
            first = self._recorded[self._by_webhook[webhook_id]]
            return PaymentAnswer(payment, first.disposition, again=True)
        before = self._recorded.get(payment.payment_id)
        answer = known_answer(payment, before)
        if isinstance(answer, PaymentRefusal):
            return PaymentAnswer(payment, answer)
        if answer is not None:
            self._see(payment)
            return PaymentAnswer(payment, answer, again=True)
        settled = settle_payment(payment, await self._standing(payment.order_id))
        if isinstance(settled, PaymentRefusal):
            return PaymentAnswer(payment, settled)
        disposition, reason = settled
        self._see(payment)
        self._record(payment, disposition, reason)
        if disposition is Disposition.CONFIRMED:
            self._confirm(payment)
        elif reason is not None:
            self._refunds.append((self._outcomes[payment.order_id], payment, reason))
        return PaymentAnswer(payment, disposition)

    async def _standing(self, order_id: str) -> Standing:
        outcome = self._outcomes.get(order_id)
        if outcome is None:
            return Standing(None, None, paid=False)
        order = outcome.order
        counts = self.counts.get(order.sku)
        sale = None if counts is None else counts.after()
        others = 0
        if outcome.status is Status.EXPIRED and sale is not None and sale.customer_limit:
            others = await held_by_customer(self._connection, order.sku, order.customer_id)
            # What this transaction has confirmed is not written yet, and was counted if held.
            others += sum(
                o.order.quantity
                for o in self.moved.values()
                if (o.order.sku, o.order.customer_id) == (order.sku, order.customer_id)
                and o.order.id in self._revived
            )
        return Standing(outcome, sale, order_id in self._paid, others)

    def _confirm(self, payment: Payment) -> None:
        before = self._outcomes[payment.order_id]
        after = replace(before, status=Status.CONFIRMED)
        self.counts[before.order.sku].change(before.status, after)
        if before.status is Status.EXPIRED:
            self._revived.add(payment.order_id)
        self._outcomes[payment.order_id] = self.moved[payment.order_id] = after
        self._payers[payment.order_id] = payment
        self._paid.add(payment.order_id)

    def _see(self, payment: Payment) -> None:
        if payment.webhook_id is not None:
            self._webhooks[payment.webhook_id] = payment.payment_id
            self._by_webhook[payment.webhook_id] = payment.payment_id

    def _record(
        self, payment: Payment, disposition: Disposition, reason: RefundReason | None
    ) -> None:
        self._recorded[payment.payment_id] = Recorded(
            payment.payment_id, payment.order_id, disposition
        )
        self._rows[payment.payment_id] = {
            "payment_id": payment.payment_id,
            "order_id": payment.order_id,
            "outcome": payment.outcome,
            "amount": payment.amount,
            "currency": payment.currency,
            "disposition": disposition.value,
            "reason": reason,
        }

    async def write(self, now: float) -> None:
        connection = self._connection
        new = [row | {"at": now} for i, row in self._rows.items() if i not in self._known_before]
        if new:
            await connection.execute(insert(paid_table), new)
        again = [
            {f"now_{name}": value for name, value in row.items()} | {"now_at": now}
            for i, row in self._rows.items()
            if i in self._known_before
        ]
        if again:
            await connection.execute(_SUCCEEDED_LATER, again)
        if self._webhooks:
            await connection.execute(
                insert(payment_webhooks),
                [
                    {"webhook_id": webhook_id, "payment_id": payment_id, "at": now}
                    for webhook_id, payment_id in self._webhooks.items()
                ],
            )
        await change_orders(connection, list(self.moved.values()), now, self._payers)
        await tell_refunds(connection, self._refunds, now)
        await set_counts(connection, self._before, [c.after() for c in self.counts.values()])


_SUCCEEDED_LATER = (
    update(paid_table)
    .where(paid_table.c.payment_id == bindparam("now_payment_id"))
    .values(
        {
            name: bindparam(f"now_{name}")
            for name in ("outcome", "amount", "currency", "disposition", "reason", "at")
        }
    )
)
