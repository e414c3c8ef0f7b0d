"""A sale with holds in dictionaries, which the rules change as a ledger would; it checks itself."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
from msgspec.structs import replace as changed

from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.holds.cancellations import extended_end, why_not_cancel
from flashsale.domain.holds.counts import Counts
from flashsale.domain.holds.payments import (
    Disposition,
    Payment,
    PaymentRefusal,
    Recorded,
    Standing,
    known_answer,
    settle_payment,
)
from flashsale.domain.holds.rule import Allowance, Books, MoreChanges, advance
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import OPEN_IN_LEDGER, CancelReason, Status, may_follow
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale

HOLD = 60
LIMIT = 3
CUSTOMERS = "abcdef"


@dataclass
class HeldSale:
    """A sale in dictionaries, which the rules change as a ledger would."""

    sale: Sale
    now: float = 1_000.0
    orders: dict[str, Outcome] = field(default_factory=dict)
    paid: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, Recorded] = field(default_factory=dict)
    refunds: set[str] = field(default_factory=set)
    served: list[int] = field(default_factory=list)

    def write(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            before = self.orders.get(outcome.order.id)
            if before is not None:
                assert may_follow(before.status, outcome.status), (before, outcome)
            if (
                before is not None
                and before.status is Status.WAITLISTED
                and outcome.status is Status.HELD
            ):
                self.note_served(before)
            self.orders[outcome.order.id] = outcome

    def note_served(self, before: Outcome) -> None:
        ahead = [
            o
            for o in self.orders.values()
            if o.status is Status.WAITLISTED and (o.place or 0) < (before.place or 0)
        ]
        assert not ahead, "somebody in line was passed over"

    def drain(self, batch: Sequence[Order], due: int) -> None:
        ended = sorted(
            (
                o
                for o in self.orders.values()
                if o.status is Status.HELD and (o.expires_at or 0) + GRACE_SECONDS <= self.now
            ),
            key=lambda o: (o.expires_at, o.order.id),
        )
        line = sorted(
            (o for o in self.orders.values() if o.status is Status.WAITLISTED),
            key=lambda o: o.place or 0,
        )
        customers = {order.customer_id for order in batch}
        mine = [
            o
            for o in self.orders.values()
            if o.status in OPEN_IN_LEDGER and o.order.customer_id in customers
        ]
        bought: Counter[tuple[str, str]] = Counter()
        for o in self.orders.values():
            if o.status is Status.CONFIRMED:
                bought[self.sale.sku, o.order.customer_id] += o.order.quantity
        books = Books({self.sale.sku: self.sale}, ended[:due], line[: due + 1], mine, bought)
        decided = {OrderId(i): o for i, o in self.orders.items()}
        allowance = Allowance(due)
        while True:
            try:
                done = advance(batch, books, decided, self.now, allowance)
            except MoreChanges as error:
                allowance = Allowance(due, error.needed)
            else:
                break
        assert len(done.moved) <= due + allowance.replaced
        # Those in line are served before anybody new is.
        had_hold = {o.order.customer_id for o in mine if o.status is Status.HELD}
        self.write(done.moved)
        line = [o for o in self.orders.values() if o.status is Status.WAITLISTED]
        if line:
            head = min(o.place or 0 for o in line)
            # One that was served in this batch may have given the hold to a new order.
            first = [o for o in mine if o.status is Status.WAITLISTED and (o.place or 0) < head]
            had_hold |= {o.order.customer_id for o in first}
            held = [o for o in done.new.values() if o.status is Status.HELD]
            assert {o.order.customer_id for o in held} <= had_hold, "the line was passed over"
        self.write(list(done.new.values()))
        [self.sale] = done.sales

    def pay(self, order_id: str, payment_id: str, outcome: Any) -> None:
        payment = Payment(order_id, payment_id, outcome)
        answer = known_answer(payment, self.recorded.get(payment_id))
        if answer is not None:
            return
        known = self.orders.get(order_id)
        others = sum(
            o.order.quantity
            for o in self.orders.values()
            if known is not None
            and o.order.customer_id == known.order.customer_id
            and o.order.id != order_id
            and o.status in (*OPEN_IN_LEDGER, Status.CONFIRMED)
        )
        standing = Standing(known, self.sale, order_id in self.paid, others)
        settled = settle_payment(payment, standing)
        if isinstance(settled, PaymentRefusal):
            assert known is None or known.expires_at is None
            return
        disposition, _ = settled
        self.recorded[payment_id] = Recorded(payment_id, order_id, disposition)
        if disposition is Disposition.CONFIRMED:
            assert known is not None
            self.change(known, changed(known, status=Status.CONFIRMED))
            self.paid[order_id] = payment_id
        elif disposition is Disposition.REFUND_DUE:
            self.refunds.add(payment_id)

    def change(self, before: Outcome, after: Outcome) -> None:
        counts = Counts(self.sale)
        counts.change(before.status, after)
        self.write([after])
        self.sale = counts.after()

    def cancel(self, order_id: str) -> None:
        known = self.orders.get(order_id)
        if why_not_cancel(known, self.sale) is not None or known is None:
            return
        self.change(known, changed(known, status=Status.CANCELLED, reason=CancelReason.BY_CUSTOMER))
        if order_id in self.paid:
            self.refunds.add(self.paid.pop(order_id))

    def extend(self, order_id: str) -> None:
        known = self.orders.get(order_id)
        if known is None:
            return
        ends = extended_end(known, self.sale, self.now)
        if isinstance(ends, float):
            assert not known.extended
            self.orders[order_id] = changed(known, expires_at=ends, extended=True)

    def check(self) -> None:
        of = {s: [o for o in self.orders.values() if o.status is s] for s in Status}
        items = {s: sum(o.order.quantity for o in of[s]) for s in Status}
        assert self.sale.sold == items[Status.CONFIRMED]
        assert self.sale.held == items[Status.HELD]
        assert self.sale.waiting == len(of[Status.WAITLISTED])
        assert self.sale.stock is not None
        assert self.sale.sold + self.sale.held <= self.sale.stock
        assert len({o.place for o in of[Status.WAITLISTED]}) == self.sale.waiting
        assert all((o.place or 0) >= self.sale.line_head for o in of[Status.WAITLISTED])
        having: Counter[str] = Counter()
        opened: Counter[str] = Counter()
        for status in (*OPEN_IN_LEDGER, Status.CONFIRMED):
            for o in of[status]:
                having[o.order.customer_id] += o.order.quantity
                opened[o.order.customer_id] += status is not Status.CONFIRMED
        assert max(having.values(), default=0) <= LIMIT
        assert max(opened.values(), default=0) <= 1
        assert {o.order.id for o in of[Status.CONFIRMED]} == set(self.paid)
        succeeded = {p for p, r in self.recorded.items() if r.disposition is not Disposition.FAILED}
        assert succeeded == {*self.paid.values(), *self.refunds}


numbers = st.integers(0, 30)
orders = st.tuples(numbers, st.sampled_from(CUSTOMERS), st.integers(1, 3))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("drain"), st.lists(orders, max_size=4), st.integers(0, 4)),
        st.tuples(
            st.just("pay"), numbers, st.integers(0, 12), st.sampled_from(["succeeded", "failed"])
        ),
        st.tuples(st.just("cancel"), numbers),
        st.tuples(st.just("extend"), numbers),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 29.0, 31.0, 60.0, 200.0])),
    ),
    min_size=8,
    max_size=60,
)
