"""The model of a sale with holds: what becomes of each order, told apart from how it is done.

As `tests.model.expected`, it is written once more, in the plainest way: every question is answered
by a look at all orders.
"""

from collections.abc import Iterator, Sequence

from flashsale.domain.holds.cancellations import CancelRefusal, ExtendRefusal
from flashsale.domain.holds.payments import Payment
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale, Verdict
from flashsale.ledger.hold_port import Cancellation, Cancelled, Extended, PaymentsTaken
from tests.model.expected import DrainTime, Expected, as_found

Touched = dict[str, tuple[str, str | None] | None]
"""The orders that a transaction changes, each with its state before; None for a new one."""


class ExpectedHolds(Expected):
    """The state of sales of which some have holds, advanced by each commit, which it checks."""

    grace = 0.0
    """How long a hold goes on after its end, in seconds."""

    def __init__(self, sales: Sequence[Sale], rate: int) -> None:
        super().__init__(sales, rate)
        self.ends: dict[str, float] = {}
        self.places: dict[str, int] = {}
        self.extended: set[str] = set()
        self.paid_by: dict[str, str] = {}
        """The payment that has paid an order, by order id."""
        self.told: dict[str, tuple[str, str]] = {}
        """The order of each payment, and what came of it."""
        self.webhooks: dict[str, str] = {}
        self.refunds: set[str] = set()
        self.ever_sold_out: set[str] = set()
        self.answers: set[str] = set()
        """What payments, cancellations and extensions were answered."""
        self._places_given = 0

    # What is there.

    def holding(self, sku: str) -> bool:
        """Whether a sale has holds."""
        return sku in self.terms and self.terms[sku].hold_seconds is not None

    def of_state(self, status: str) -> Iterator[Order]:
        """The orders of a state, of sales with holds."""
        for order_id, (now, _) in self.states.items():
            if now == status and self.holding(self.decided_orders[order_id].sku):
                yield self.decided_orders[order_id]

    @property
    def line(self) -> list[Order]:
        """The orders that wait, in their order."""
        return sorted(self.of_state("waitlisted"), key=lambda order: self.places[order.id])

    def reserved(self) -> int:
        """The items that are held."""
        return sum(order.quantity for order in self.of_state("held"))

    def free(self, sku: str) -> int:
        """The items that nobody has."""
        return self.stock(sku) - self.sold[sku] - self.reserved()

    def was_sold_out(self, sku: str) -> bool:
        """Whether a sale is sold out, or was: what is cancelled is on sale again."""
        return super().was_sold_out(sku) or sku in self.ever_sold_out

    # What a drain does.

    def _decided(
        self, batch: Sequence[Order], verdict: Verdict, now: float, drain: DrainTime
    ) -> None:
        touched: Touched = {}
        self._end_and_serve(drain, touched)
        by_due = len(touched)
        for order, outcome in zip(batch, verdict.outcomes, strict=True):
            self._complete(order)
            if not self.holding(order.sku):
                self._one_decided(order, outcome, now)
            elif order.id not in self.states:
                self._decide(order, drain.now, touched)
        assert by_due <= drain.due
        self._finish(touched, now)
        moved = {o.order.id: as_found(o) for o in verdict.moved}
        assert len(moved) == len(verdict.moved)
        assert moved == {i: self.states[i] for i, before in touched.items() if before is not None}
        # An order that comes again has the state that it had before, whatever moves it now.
        again = [o for o in verdict.outcomes if touched.get(o.order.id) is not None]
        assert all(as_found(outcome) == touched[outcome.order.id] for outcome in again)
        for outcome in (*verdict.outcomes, *verdict.moved):
            if outcome not in again:
                self._check(outcome)
        for sale in verdict.sales:
            if self.holding(sale.sku):
                assert (sale.held, sale.waiting) == (self.reserved(), len(self.line))

    def _check(self, outcome: Outcome) -> None:
        order_id = outcome.order.id
        found, must = as_found(outcome), self.states[order_id]
        assert found == must, f"order {order_id} must be {must}, and is {found}"
        if found[0] in ("held", "waitlisted"):
            hold = outcome.expires_at, outcome.place, outcome.extended
            assert hold == (
                self.ends.get(order_id),
                self.places.get(order_id),
                order_id in self.extended,
            )

    def _end_and_serve(self, drain: DrainTime, touched: Touched) -> None:
        over = [o for o in self.of_state("held") if self.ends[o.id] + self.grace <= drain.now]
        for order in sorted(over, key=lambda o: (self.ends[o.id], o.id))[: drain.due]:
            self._set(order.id, touched, "expired")
        for order in self.line:
            if len(touched) == drain.due:
                return
            free = self.free(order.sku)
            if order.quantity <= free:
                self._set(order.id, touched, "held")
                self.ends[order.id] = drain.now + self._hold_seconds(order)
            elif not self.reserved():
                reason = "not_enough_left" if free else "sold_out"
                self._set(order.id, touched, "rejected", reason)
            else:
                return

    def _decide(self, order: Order, now: float, touched: Touched) -> None:
        self.decided_orders[order.id] = order
        mine = self._open_order(order)
        if mine is not None and self.states[mine.id][0] == "held" and self.ends[mine.id] <= now:
            before = self.states[mine.id]
            self.states[mine.id] = "expired", None
            state = self._new_state(order, None, now)
            self.states[mine.id] = before
            if state[0] != "rejected":
                self._set(mine.id, touched, "expired")
        else:
            state = self._new_state(order, mine, now)
            if mine is not None and state[0] != "rejected":
                self._replace(mine.id, touched)
        self._set(order.id, touched, *state)

    def _replace(self, order_id: str, touched: Touched) -> None:
        before = touched.get(order_id, self.states[order_id])
        self._set(order_id, touched, "cancelled", "replaced")
        # Nobody was told of what it was meanwhile.
        if before is None or before[0] == "waitlisted":
            self.ends.pop(order_id, None)
        if before is None:
            self.places.pop(order_id, None)

    def _open_order(self, of: Order) -> Order | None:
        """The order of the same customer that is held or waits."""
        found = [
            order
            for status in ("held", "waitlisted")
            for order in self.of_state(status)
            if (order.sku, order.customer_id) == (of.sku, of.customer_id)
        ]
        assert len(found) <= 1, "a customer has two open orders"
        return found[0] if found else None

    def _new_state(self, order: Order, mine: Order | None, now: float) -> tuple[str, str | None]:
        sale, line = self.terms[order.sku], self.line
        bought = self.held[order.sku, order.customer_id]
        if sale.closes_at is not None and order.accepted_at >= sale.closes_at:
            return "rejected", "sale_closed"
        if sale.customer_limit is not None and bought + order.quantity > sale.customer_limit:
            return "rejected", "customer_limit"
        unsold = self.stock(order.sku) - self.sold[order.sku]
        left = 0 if line else self.free(order.sku)
        if mine is None:
            room = len(line) < (sale.waitlist or 0)
            if left <= 0 and room and self.reserved() and order.quantity <= unsold:
                self._join(order)
                return "waitlisted", None
        elif self.states[mine.id][0] == "held":
            left += mine.quantity
        else:
            left = unsold
        if left < order.quantity:
            return "rejected", "not_enough_left" if left > 0 else "sold_out"
        if mine is None:
            self.ends[order.id] = now + self._hold_seconds(order)
        elif self.states[mine.id][0] == "held":
            self.ends[order.id] = self.ends[mine.id]
            if mine.id in self.extended:
                self.extended.add(order.id)
        else:
            if order.quantity <= mine.quantity:
                self.places[order.id] = self.places[mine.id]
            else:
                self._join(order)
            return "waitlisted", None
        return "held", None

    def _join(self, order: Order) -> None:
        self._places_given += 1
        self.places[order.id] = self._places_given

    def _hold_seconds(self, order: Order) -> int:
        seconds = self.terms[order.sku].hold_seconds
        assert seconds is not None
        return seconds

    def _complete(self, order: Order) -> None:
        """An order comes that was cancelled before anybody here knew what it was."""
        known = self.decided_orders.get(order.id)
        if known is not None and not known.customer_id:
            self.decided_orders[order.id] = order
            self._note(order.id)

    # What customers and payment providers do.

    def paid(self, taken: PaymentsTaken, now: float) -> None:
        """Payments were taken in: each has the answer that it must have."""
        touched: Touched = {}
        for answer in taken.answers:
            must = self._payment(answer.payment, touched)
            found = str(answer.result), answer.again
            assert found == must, f"{answer.payment} must be {must}, and is {found}"
            self.answers.add(f"payment {found[0]}{' again' if found[1] else ''}")
        self._finish(touched, now)
        moved = {o.order.id: as_found(o) for o in taken.verdict.moved}
        assert moved == {order_id: self.states[order_id] for order_id in touched}

    def _payment(self, payment: Payment, touched: Touched) -> tuple[str, bool]:
        """What must come of a payment, and whether it was told of before."""
        if payment.webhook_id in self.webhooks:
            return self.told[self.webhooks[payment.webhook_id]][1], True
        order_id, payment_id = payment.order_id, payment.payment_id
        told = self.told.get(payment_id)
        if told is not None:
            if told[0] != order_id:
                return "other_order", False
            if told[1] != "failed" or payment.outcome == "failed":
                self._note_webhook(payment)
                return told[1], True
        if order_id not in self.states or order_id not in self.decided_orders:
            known = order_id in self.states
            return ("never_held" if known else "unknown_order"), False
        if order_id not in self.ends:
            return "never_held", False
        result = "failed" if payment.outcome == "failed" else self._money(payment, touched)
        if result != "wrong_amount":
            self.told[payment_id] = order_id, result
            self._note_webhook(payment)
        return result, False

    def _note_webhook(self, payment: Payment) -> None:
        if payment.webhook_id is not None:
            self.webhooks[payment.webhook_id] = payment.payment_id

    def _money(self, payment: Payment, touched: Touched) -> str:
        order = self.decided_orders[payment.order_id]
        price = self.terms[order.sku].price
        due = None if price is None else float(price) * order.quantity
        if payment.amount is not None and due not in (None, float(payment.amount)):
            return "wrong_amount"
        state = self.states[order.id][0]
        in_time = state == "held"
        late = state == "expired" and not self.line and order.quantity <= self.free(order.sku)
        if order.id not in self.paid_by and (in_time or (late and self._may_have(order))):
            self._set(order.id, touched, "confirmed")
            self.paid_by[order.id] = payment.payment_id
            return "confirmed"
        self._refund(order, payment.payment_id)
        return "refund_due"

    def _may_have(self, order: Order) -> bool:
        limit = self.terms[order.sku].customer_limit
        mine = self._open_order(order)
        others = self.held[order.sku, order.customer_id] + (mine.quantity if mine else 0)
        return limit is None or others + order.quantity <= limit

    def _refund(self, order: Order, payment_id: str) -> None:
        self.refunds.add(payment_id)
        self.events[order.id, f"order.refund_due.{order.sku}"] += 1

    def cancelled(
        self, wanted: Cancellation, result: Cancelled | CancelRefusal, now: float
    ) -> None:
        """Somebody cancelled an order, or was refused."""
        touched: Touched = {}
        must = self._cancellation(wanted, touched)
        found = str(result) if isinstance(result, CancelRefusal) else "cancelled"
        assert found == must, f"{wanted} must be {must}, and is {found}"
        self.answers.add(f"cancellation {found}")
        self._finish(touched, now)

    def _cancellation(self, wanted: Cancellation, touched: Touched) -> str:
        order_id = wanted.order_id
        reason = "by_operator" if wanted.by_operator else "by_customer"
        state = self.states.get(order_id)
        order = self.decided_orders.get(order_id) or wanted.queued
        owners = (wanted.customer_id, "") if wanted.customer_id is not None else None
        if state is None and wanted.queued is None:
            return "unknown_order"
        if state == ("failed", state and state[1]):
            return "over"
        assert order is not None
        if owners is not None and order.customer_id not in owners:
            return "unknown_order"
        if state is None:
            self.decided_orders[order_id] = order
            self._set(order_id, touched, "cancelled", reason)
            return "cancelled"
        if state[0] == "cancelled":
            return "cancelled"
        if state[0] == "confirmed":
            if not self.terms[order.sku].cancellable:
                return "not_cancellable"
            paid_by = self.paid_by.pop(order_id, None)
            if paid_by is not None:
                self.told[paid_by] = order_id, "refund_due"
                self._refund(order, paid_by)
        elif state[0] not in ("held", "waitlisted"):
            return "over"
        self._set(order_id, touched, "cancelled", reason)
        return "cancelled"

    def extended_by(self, order_id: str, result: Extended | ExtendRefusal, now: float) -> None:
        """Somebody extended a hold, or was refused."""
        if isinstance(result, ExtendRefusal):
            runs = order_id in self.ends and self.ends[order_id] > now
            may = runs and self.states[order_id][0] == "held" and order_id not in self.extended
            assert not may, f"the hold of {order_id} must be extended, and is {result}"
            self.answers.add(f"extension {result}")
            return
        self.answers.add("extension")
        assert self.states[order_id][0] == "held"
        assert self.ends[order_id] > now
        assert order_id not in self.extended
        self.extended.add(order_id)
        self.ends[order_id] += self._hold_seconds(self.decided_orders[order_id])
        self._check(result.outcome)

    # What both share.

    def _set(self, order_id: str, touched: Touched, status: str, reason: str | None = None) -> None:
        before, order = self.states.get(order_id), self.decided_orders[order_id]
        touched.setdefault(order_id, before)
        self.states[order_id] = status, reason
        items = (status == "confirmed") - (before is not None and before[0] == "confirmed")
        self.sold[order.sku] += items * order.quantity
        self.held[order.sku, order.customer_id] += items * order.quantity

    def _finish(self, touched: Touched, now: float) -> None:
        for order_id in touched:
            order = self.decided_orders[order_id]
            self.waiting.discard(order_id)
            if order.customer_id:
                self._note(order_id)
            else:
                self.past.setdefault(order_id, []).append(self.states[order_id][0])
            if self.states[order_id][0] == "confirmed":
                self.confirmed_at[order_id] = now
            else:
                self.confirmed_at.pop(order_id, None)
        for sku in filter(self.holding, self.terms):
            assert self.sold[sku] + self.reserved() <= self.stock(sku), "oversold"
            if self.sold[sku] == self.stock(sku):
                self.ever_sold_out.add(sku)
        paid = {order.id for order in self.of_state("confirmed")}
        assert paid == set(self.paid_by)
        assert self.refunds.isdisjoint(self.paid_by.values())
