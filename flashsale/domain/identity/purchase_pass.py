"""A purchase pass: the right to one order of one sale."""

from dataclasses import dataclass

from flashsale.domain.orders import OrderRequest

LEEWAY_SECONDS = 10.0
"""How far the clocks of the shop and of a gateway may be apart."""


@dataclass(frozen=True)
class PurchasePass:
    """The right to one order of a sku: until a Unix time, for anyone or for one customer."""

    sku: str
    jti: str
    expires_at: float
    customer_id: str | None = None
    max_quantity: int | None = None

    def mismatch(self, request: OrderRequest) -> str | None:
        """Return why the pass is not for this order, None if it is."""
        if self.sku != request.sku:
            return "The pass is for another sale."
        if self.customer_id is not None and self.customer_id != request.customer_id:
            return "The pass is for another customer."
        if self.max_quantity is not None and request.quantity > self.max_quantity:
            return f"The pass is for {self.max_quantity} items at most."
        return None


def expired(expires_at: float, now: float) -> bool:
    """Return whether a token that expires then has expired at Unix time `now`."""
    return now >= expires_at + LEEWAY_SECONDS
