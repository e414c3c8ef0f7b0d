"""Lists of decided orders, page by page."""

from dataclasses import dataclass

from flashsale.domain.order_states import DeliveryState, Status


@dataclass(frozen=True)
class OrderQuery:
    """Which orders, and how many of them. None asks for any."""

    limit: int
    after: tuple[float, str] | None = None
    """The decision time and the id of the last order of the page before."""
    customer_id: str | None = None
    sku: str | None = None
    status: Status | None = None


@dataclass(frozen=True)
class DecidedOrder:
    """An order in the ledger. Times are Unix seconds. A failed order may have an id only."""

    id: str
    sku: str | None
    customer_id: str | None
    quantity: int | None
    status: Status
    reason: str | None
    remaining: int | None
    accepted_at: float | None
    decided_at: float
    order_ref: str | None
    delivery: DeliveryState | None
    delivery_attempts: int | None
    delivery_reason: str | None
    """Why a confirmed order could not be delivered."""
    expires_at: float | None = None
    """When the hold of an order ends, or has ended."""
    place: int | None = None
    """The number of an order in the waiting list of its sale, if it has waited."""
