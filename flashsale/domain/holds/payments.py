"""The rule of payments: what becomes of an order when somebody tells of a payment."""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale

PAYMENT_ID_PATTERN = r"^[\x21-\x7e]{1,200}\Z"
AMOUNT_PATTERN = r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?\Z"

_PAYMENT_ID = re.compile(PAYMENT_ID_PATTERN)
_AMOUNT = re.compile(AMOUNT_PATTERN)

PaymentOutcome = Literal["succeeded", "failed"]


@dataclass(frozen=True, slots=True)
class Payment:
    """What the shop's payment provider tells of a payment.

    Raises `ValueError` for an id or an amount that none can be.
    """

    order_id: str
    payment_id: str
    outcome: PaymentOutcome
    amount: str | None = None
    """A decimal number, such as `499.00`. Without it the amount is not checked."""
    currency: str | None = None
    """Three letters of ISO 4217. Without it the currency is not checked."""
    webhook_id: str | None = None
    """The id of the delivery, the same if it is delivered again."""

    def __post_init__(self) -> None:
        """Check the ids and the amount."""
        for name, value in (("payment_id", self.payment_id), ("webhook_id", self.webhook_id)):
            if value is not None and not _PAYMENT_ID.match(value):
                raise ValueError(f"{name} must be 1 to 200 printable characters of ASCII")
        if self.amount is not None and not _AMOUNT.match(self.amount):
            raise ValueError("amount must be a decimal number such as 499.00")


class Disposition(StrEnum):
    """What became of a payment."""

    CONFIRMED = "confirmed"
    """It has paid the order."""
    REFUND_DUE = "refund_due"
    """The money has to be given back."""
    FAILED = "failed"
    """It has failed. The order is as it was."""


class RefundReason(StrEnum):
    """Why money has to be given back."""

    PAID_ALREADY = "paid_already"
    TOO_LATE = "too_late"
    """The hold had ended, and the items are gone."""
    CANCELLED = "cancelled"


class PaymentRefusal(StrEnum):
    """Why a payment was not taken in. Nothing was changed."""

    UNKNOWN_ORDER = "unknown_order"
    NEVER_HELD = "never_held"
    """The order never held an item, so nobody was asked to pay for it."""
    WRONG_AMOUNT = "wrong_amount"
    """The amount or the currency is not that of the order."""
    OTHER_ORDER = "other_order"
    """The payment was told of before, with another order."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A payment that was taken in before."""

    payment_id: str
    order_id: str
    disposition: Disposition


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known about the order of a payment."""

    outcome: Outcome | None
    sale: Sale | None
    paid: bool
    """Whether another payment has paid the order."""
    others_hold: int = 0
    """The items of the customer's other orders of the sale, bought, held or waited for."""


def known_answer(payment: Payment, before: Recorded | None) -> Disposition | PaymentRefusal | None:
    """Return the answer to a payment that was told of before, None if it has to be settled.

    A payment may succeed after it has failed. What has succeeded stays so, whatever comes later.
    """
    if before is None:
        return None
    if before.order_id != payment.order_id:
        return PaymentRefusal.OTHER_ORDER
    if before.disposition is Disposition.FAILED and payment.outcome == "succeeded":
        return None
    return before.disposition


def settle_payment(
    payment: Payment, standing: Standing
) -> tuple[Disposition, RefundReason | None] | PaymentRefusal:
    """Return what becomes of a payment, and why money has to be given back.

    `Disposition.CONFIRMED` confirms the order.
    """
    outcome = standing.outcome
    if outcome is None:
        return PaymentRefusal.UNKNOWN_ORDER
    if outcome.expires_at is None:
        return PaymentRefusal.NEVER_HELD
    if payment.outcome == "failed":
        return Disposition.FAILED, None
    if not _right_amount(payment, outcome, standing.sale):
        return PaymentRefusal.WRONG_AMOUNT
    if standing.paid:
        return Disposition.REFUND_DUE, RefundReason.PAID_ALREADY
    if outcome.status is Status.HELD:
        return Disposition.CONFIRMED, None
    if outcome.status is Status.CANCELLED:
        return Disposition.REFUND_DUE, RefundReason.CANCELLED
    if outcome.status is Status.EXPIRED and _still_there(outcome, standing):
        return Disposition.CONFIRMED, None
    return Disposition.REFUND_DUE, RefundReason.TOO_LATE


def _still_there(outcome: Outcome, standing: Standing) -> bool:
    """Return whether the items of an expired order are free, and the customer may have them."""
    sale, items = standing.sale, outcome.order.quantity
    if sale is None or sale.waiting or items > (sale.remaining or 0):
        return False
    return sale.customer_limit is None or standing.others_hold + items <= sale.customer_limit


def _right_amount(payment: Payment, outcome: Outcome, sale: Sale | None) -> bool:
    if sale is None:
        return True
    due = None if sale.price is None else Decimal(sale.price) * outcome.order.quantity
    paid = None if payment.amount is None else Decimal(payment.amount)
    same_amount = None in (paid, due) or paid == due
    return same_amount and (
        None in (payment.currency, sale.currency) or payment.currency == sale.currency
    )
