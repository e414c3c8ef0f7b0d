"""What counts as bought: confirmed orders, until they are cancelled.

A hold that ends, and an order that is cancelled before it is paid, never counted.
"""

from services import OrderEvent

PURCHASES = ("order.confirmed.#", "order.cancelled.#")
"""The topics of the events that change what a customer has bought."""


def items_bought(event: OrderEvent) -> int:
    """Return the items that an event adds to what was bought; less than 0 if it takes some back."""
    if event.status == "confirmed":
        return event.quantity
    return -event.quantity if event.was_confirmed is True else 0
