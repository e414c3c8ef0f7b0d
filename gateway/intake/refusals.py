"""Every reason for which an order is not taken. They know nothing of HTTP.

`gateway.http.problems` maps each of them to a response.
"""

from collections.abc import Mapping, Sequence

from flashsale.domain.errors import FlashsaleError
from flashsale.domain.order_ids import OrderId


class Refusal(FlashsaleError):
    """Base class: the order was not taken, or nobody knows whether it was."""

    order_id: OrderId | None = None
    """The id under which the order, or an earlier attempt at it, can be looked up."""
    earlier_unknown = False
    """Whether nobody can know now what became of an earlier attempt at the order."""
    retry_after: float | None = None
    """Seconds after which another attempt makes sense; None if none does."""


class NotJson(Refusal):
    """The body is not JSON (RFC 8259)."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidOrder(Refusal):
    """The body is JSON, but not an order."""

    def __init__(self, detail: str, errors: Sequence[Mapping[str, str]]) -> None:
        """`errors` holds a `field` and a `detail` for each field that is wrong."""
        super().__init__(detail)
        self.detail = detail
        self.errors = errors


class UnknownSku(Refusal):
    """There is no sale of this sku."""

    def __init__(self, sku: str) -> None:
        super().__init__(sku)
        self.sku = sku


class SaleRefusal(Refusal):
    """The sale sells nothing now. The order never reached the broker."""


class SaleNotOpen(SaleRefusal):
    """The sale has not begun."""


class SaleClosed(SaleRefusal):
    """The sale is over."""


class SoldOut(SaleRefusal):
    """No item of the sale is left."""


class IntakePaused(Refusal):
    """An operator has paused the intake. The order never reached the broker."""

    def __init__(self, notice: str | None, retry_after: float) -> None:
        """`notice` is the operator's, for shoppers; `retry_after` is in seconds."""
        super().__init__()
        self.notice = notice or "Orders are not taken at the moment. Come back."
        self.retry_after = retry_after


class OtherCustomer(Refusal):
    """The order names another customer than the token."""


class PassRequired(Refusal):
    """The sale sells to holders of passes only."""


class PassRefused(Refusal):
    """The pass is not for this order, or has expired."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class PassUsed(Refusal):
    """The pass belongs to an order with other contents, or of another customer."""


class OverClientLimit(Refusal):
    """The client sends more than the limit of each client allows."""

    def __init__(self, retry_after: float) -> None:
        """`retry_after` is in seconds."""
        super().__init__()
        self.retry_after = retry_after


class KeyReused(Refusal):
    """The Idempotency-Key belongs to an order with other contents."""


class QueueIsFull(Refusal):
    """The queue is at its limit: this attempt is not in it."""

    def __init__(self, retry_after: float) -> None:
        """`retry_after` is in seconds."""
        self.retry_after = retry_after


class OutcomeUnknown(Refusal):
    """The broker did not confirm in time: the order may or may not be in the queue."""

    def __init__(self, order_id: OrderId, retry_after: float) -> None:
        """`retry_after` is in seconds."""
        super().__init__()
        self.order_id = order_id
        self.retry_after = retry_after


class LedgerAway(Refusal):
    """The sale could not be looked up, as the database does not answer."""

    retry_after = 1
