"""The words of letters: for each thing that happens to an order, and for each reason of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from flashsale.domain.holds.payments import RefundReason
from flashsale.domain.order_states import CancelReason, Reason
from flashsale.messages.events import OrderEvent

_GOOD, _OPEN, _OVER = "#1f7a4d", "#1e5a8a", "#9a3412"


@dataclass(frozen=True)
class Words:
    """The words of a letter. {quantity}, {sku} and so on are filled in for each order."""

    subject: str
    title: str
    text: str
    colour: str
    link: str | None = None
    """What the link to the payment page is called; None if there is none."""


_CONFIRMED = Words(
    "Your order is confirmed",
    "It's yours",
    "{quantity} x {sku} is reserved for you, and nobody else can get it any more.",
    _GOOD,
)
_PAID = Words(
    "Your order is paid and confirmed",
    "It's yours",
    "Your payment for {quantity} x {sku} has arrived, and nobody else can get it any more.",
    _GOOD,
)
_HELD = Words(
    "Held for you: please pay in time",
    "Held for you",
    "{quantity} x {sku} is yours until {until}, if your payment arrives by then. After that others"
    " can get it.",
    _OPEN,
)
_HELD_WITH_LINK = Words(_HELD.subject, _HELD.title, _HELD.text, _HELD.colour, "Pay now")
_WAITLISTED = Words(
    "You are in line",
    "In line",
    "All that is left is held for others, who may not pay. You are in line for {quantity} x {sku}."
    " If it is your turn, it is held for you, and a mail tells you until when you can pay. If not,"
    " a mail tells you that, too. Nothing is charged.",
    _OPEN,
)
_EXPIRED = Words(
    "The time to pay is over",
    "Not paid in time",
    "{quantity} x {sku} was held for you, and no payment arrived in time, so it is not held any"
    " more. If you paid at the last moment, another mail tells you what becomes of your payment.",
    _OVER,
)
_CANCELLED = Words(
    "Your order is cancelled",
    "Cancelled",
    "Your order of {quantity} x {sku} is cancelled, as you asked for. If you had paid for it,"
    " another mail is about your payment.",
    _OVER,
)
_CANCELLED_BY_SHOP = Words(
    "Your order is cancelled",
    "Cancelled",
    "The shop has cancelled your order of {quantity} x {sku}. If you had paid for it, another mail"
    " is about your payment.",
    _OVER,
)
_REPLACED = Words(
    "Your new order replaces an earlier one",
    "Replaced",
    "You ordered {sku} again, and your new order takes the place of this one, of {quantity} x"
    " {sku}. Do not pay for this one any more.",
    _OVER,
)
_SOLD_OUT = Words(
    "Sold out: your order could not be filled",
    "Sold out",
    "You were in line for {quantity} x {sku}, but the last item went to somebody ahead of you."
    " Nothing is charged.",
    _OVER,
)
_NOT_ENOUGH = Words(
    "Not enough left: your order could not be filled",
    "Not enough left",
    "You ordered {quantity} x {sku}, but only {remaining} could still be had when it was your turn,"
    " so nothing was sold to you. A smaller order may have more luck while the sale lasts."
    " Nothing is charged.",
    _OVER,
)
_LIMIT = Words(
    "Your order is over the limit for one customer",
    "Over the limit",
    "{quantity} x {sku} would be more than one customer may have in this sale. What you bought"
    " before is still yours. Nothing is charged for this order.",
    _OVER,
)
_NOT_SOLD = Words(
    "Your order could not be filled",
    "Not sold",
    "{quantity} x {sku} could not be sold to you: the sale was not open when you ordered."
    " Nothing is charged.",
    _OVER,
)
_REJECTED: Mapping[str | None, Words] = {
    Reason.SOLD_OUT: _SOLD_OUT,
    Reason.NOT_ENOUGH_LEFT: _NOT_ENOUGH,
    Reason.CUSTOMER_LIMIT: _LIMIT,
}
_CANCELLATIONS: Mapping[str | None, Words] = {
    CancelReason.BY_OPERATOR: _CANCELLED_BY_SHOP,
    CancelReason.REPLACED: _REPLACED,
}


def _refund(why: str) -> Words:
    return Words(
        "You get your payment back",
        "Your payment",
        f"{{money}} arrived for {{quantity}} x {{sku}}, and you get it back: {why}. The payment is"
        " {payment_id}.",
        _OVER,
    )


_REFUND = _refund("nothing is to be paid")
_REFUNDS: Mapping[str | None, Words] = {
    RefundReason.PAID_ALREADY: _refund("the order was paid already"),
    RefundReason.TOO_LATE: _refund("it came after the time to pay, and the items are not free"),
    RefundReason.CANCELLED: _refund("the order is cancelled"),
}


def words_for(event: OrderEvent, *, linked: bool = False) -> Words:
    """Return the words of the letter about an event, with a link to the payment page or without.

    An unknown reason, of a later version, has the words of the most general one.
    """
    match event.status:
        case "confirmed":
            return _PAID if event.payment_id else _CONFIRMED
        case "held":
            return _HELD_WITH_LINK if linked else _HELD
        case "waitlisted":
            return _WAITLISTED
        case "expired":
            return _EXPIRED
        case "cancelled":
            return _CANCELLATIONS.get(event.reason, _CANCELLED)
        case "refund_due":
            return _REFUNDS.get(event.reason, _REFUND)
        case "rejected":
            return _REJECTED.get(event.reason, _NOT_SOLD)


def money_of(event: OrderEvent) -> str:
    """Return the amount of the payment of an event for people."""
    if not event.amount:
        return "A payment"
    return f"{event.amount} {event.currency}" if event.currency else event.amount
