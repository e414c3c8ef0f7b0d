"""What a customer wants to buy, and what became of it."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from flashsale.domain.order_states import DECIDED, OPEN, Status


def _new_key() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Intention:
    """One intention to buy: however often it is sent, it is one order, as its key says.

    Store it before it is sent if it is to outlive this process. `customer_id` may be left out if a
    bearer token names the customer.
    """

    sku: str
    customer_id: str | None = None
    quantity: int = 1
    """Items."""
    purchase_pass: str | None = field(default=None, repr=False)
    """A pass that the shop handed out, sent as `Purchase-Pass`."""
    key: str = field(default_factory=_new_key)
    """The `Idempotency-Key` of every attempt."""

    def body(self) -> bytes:
        """Return the body of the request, the same for each attempt."""
        order: dict[str, str | int] = {"sku": self.sku, "quantity": self.quantity}
        if self.customer_id is not None:
            order["customer_id"] = self.customer_id
        return msgspec.json.encode(order)


class OrderState(msgspec.Struct, frozen=True):
    """The state of an order, as a gateway told it."""

    order_id: str
    status: str
    """One of `flashsale.domain.order_states.Status`. Others, of later versions, are not decided."""
    position: int | None = None
    """The place in line, 1 is next; 0 or None once it is decided. Of a `waitlisted` order the place
    in the waiting list."""
    eta_seconds: float | None = None
    """Seconds until the decision; None while nothing moves."""
    paused: bool = False
    """Whether an operator has paused the drain."""
    reason: str | None = None
    """Why it was rejected, one of `flashsale.domain.order_states.Reason`, or cancelled, one of
    `CancelReason` there, or failed."""
    sku: str | None = None
    quantity: int | None = None
    """Items that were decided."""
    remaining: int | None = None
    """With the reason `not_enough_left`: the items that were left."""
    order_ref: str | None = None
    """What the order service of the shop calls a confirmed order, if it is known by now."""
    delivery: str | None = None
    """Of a confirmed order that goes to the order service of the shop: one of
    `flashsale.domain.order_states.DeliveryState`."""
    expires_at: datetime | None = None
    """When a held order ends without a payment, by the clock of the drain."""
    expires_in_seconds: float | None = None
    """Seconds until then when it was told, whatever the clock of this machine says."""
    pay_url: str | None = None
    """Where a held order is paid, if the shop has set an address."""
    extended: bool = False
    """Whether the hold was extended."""
    extendable: bool = False
    """Whether the hold can be extended, by `SaleClient.extend`."""

    @property
    def decided(self) -> bool:
        """Whether the order no longer waits, in the queue or in line for what others hold.

        A `held` one waits for its payment, and a `failed` one may be replayed by an operator.
        """
        return self.status in DECIDED and self.status != Status.WAITLISTED

    @property
    def final(self) -> bool:
        """Whether no other state follows by itself. An order that is held or waits is not final.

        An operator may still replay a `failed` order, a payment may come after the end of a hold,
        and a `confirmed` order may be cancelled if the sale allows it.
        """
        return self.decided and self.status not in OPEN

    @property
    def confirmed(self) -> bool:
        """Whether the items are the customer's."""
        return self.status == Status.CONFIRMED
