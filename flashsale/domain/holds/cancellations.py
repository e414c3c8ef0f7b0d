"""The rules of what a customer may do with an order besides paying: cancel it, extend its hold."""

from enum import StrEnum

from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale


class CancelRefusal(StrEnum):
    """Why an order was not cancelled. Nothing was changed."""

    UNKNOWN_ORDER = "unknown_order"
    NOT_CANCELLABLE = "not_cancellable"
    """The sale does not allow to cancel what is bought, or the shop's order service has it."""
    OVER = "over"
    """The order was rejected, has failed, or its hold has ended: there is nothing to cancel."""


class ExtendRefusal(StrEnum):
    """Why a hold was not extended. Nothing was changed."""

    UNKNOWN_ORDER = "unknown_order"
    NOT_HELD = "not_held"
    """The order holds nothing, or its hold has ended."""
    NOT_EXTENDABLE = "not_extendable"
    """The sale does not allow it."""
    EXTENDED_ALREADY = "extended_already"


def why_not_cancel(outcome: Outcome | None, sale: Sale | None) -> CancelRefusal | None:
    """Return why an order can't be cancelled, None if it can. `outcome` is None if it is queued."""
    if outcome is None:
        # The order service of the shop may be deciding it at this moment.
        theirs = sale is not None and sale.stock is None
        return CancelRefusal.NOT_CANCELLABLE if theirs else None
    match outcome.status:
        case Status.HELD | Status.WAITLISTED:
            return None
        case Status.CONFIRMED:
            allowed = sale is not None and sale.cancellable and outcome.delivery is None
            return None if allowed else CancelRefusal.NOT_CANCELLABLE
        case _:
            return CancelRefusal.OVER


def extended_end(outcome: Outcome, sale: Sale | None, now: float) -> float | ExtendRefusal:
    """Return the end of an extended hold in Unix seconds, or why it can't be extended."""
    if outcome.status is not Status.HELD or outcome.expires_at is None:
        return ExtendRefusal.NOT_HELD
    if outcome.expires_at <= now:
        return ExtendRefusal.NOT_HELD
    if sale is None or not sale.extendable or sale.hold_seconds is None:
        return ExtendRefusal.NOT_EXTENDABLE
    if outcome.extended:
        return ExtendRefusal.EXTENDED_ALREADY
    return outcome.expires_at + sale.hold_seconds
