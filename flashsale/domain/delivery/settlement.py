"""The rule after the delivery of an order: what the answer makes of it."""

import msgspec
from msgspec.structs import replace

from flashsale.domain.delivery.answers import Refused, Taken, Undeliverable
from flashsale.domain.order_states import DeliveryState, Status
from flashsale.domain.orders import Order, Outcome


class Settlement(msgspec.Struct, frozen=True):
    """What is to be written about a delivery."""

    outcome: Outcome
    delivery_reason: str | None = None
    """Why a confirmed order could not be delivered."""


def settle(
    order: Order, recorded: Outcome | None, answer: Taken | Refused | Undeliverable
) -> Settlement | None:
    """Return what becomes of an order by the answer of the order service, None if nothing.

    `recorded` is what the ledger has about the order. A confirmed order stays confirmed, whatever
    the order service says: then only the state of its delivery changes. A failed order may be
    decided, as an operator may have replayed it.
    """
    if recorded is None or recorded.status is Status.FAILED:
        return Settlement(_decided(order, answer))
    undelivered = (DeliveryState.PENDING, DeliveryState.FAILED)
    if recorded.status is not Status.CONFIRMED or recorded.delivery not in undelivered:
        return None
    if isinstance(answer, Taken):
        ref = _storable(answer.order_ref)
        return Settlement(replace(recorded, delivery=DeliveryState.DELIVERED, order_ref=ref))
    reason = f"refused: {answer.reason}" if isinstance(answer, Refused) else answer.reason
    return Settlement(replace(recorded, delivery=DeliveryState.FAILED), _storable(reason))


def _decided(order: Order, answer: Taken | Refused | Undeliverable) -> Outcome:
    match answer:
        case Taken(order_ref):
            ref = _storable(order_ref)
            delivered = DeliveryState.DELIVERED
            return Outcome(order, Status.CONFIRMED, order_ref=ref, delivery=delivered)
        case Refused(reason):
            return Outcome(order, Status.REJECTED, reason)
        case Undeliverable(reason):
            return Outcome(order, Status.FAILED, _storable(reason))


def _storable(text: str | None) -> str | None:
    # PostgreSQL stores any character but NUL in a text, and UTF-8 has no surrogates.
    return text and text.replace("\0", "").encode(errors="replace").decode()
