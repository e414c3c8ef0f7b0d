"""Orders on their way to a receiver, for tests."""

from flashsale.domain.delivery.receiver import Parcel
from flashsale.domain.orders import Order


def a_parcel(
    number: int = 1,
    *,
    decided: bool = False,
    maybe_known: bool = False,
    traceparent: str | None = None,
    customer: str = "zoë@example.com",
    sku: str = "tv",
) -> Parcel:
    order = Order(f"{number:032x}", sku, customer, 2, 1_795_000_000.25)
    return Parcel(order, decided, maybe_known, traceparent)


def parcels(count: int) -> list[Parcel]:
    return [a_parcel(number) for number in range(1, count + 1)]
