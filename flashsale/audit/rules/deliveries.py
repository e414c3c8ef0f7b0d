"""The rule of deliveries: a confirmed order is delivered, or its delivery is known to have failed.

What a receiver did with an order is its own affair: only it can tell whether it took a key twice.
"""

from collections.abc import Collection


def undelivered(pending: Collection[str], waiting: int) -> tuple[list[str], list[str]]:
    """Return orders whose delivery nothing will end, and a line if they may still be queued.

    The message of an order stays in the queue until its delivery has ended. So the deliveries may
    all go on if at least as many orders are `waiting` there.
    """
    if not pending:
        return [], []
    if len(pending) <= waiting:
        return [], [f"{len(pending)} confirmed orders are not delivered, {waiting} wait"]
    return [
        f"order {order_id}: confirmed, but its delivery is pending and only {waiting} orders wait"
        for order_id in sorted(pending)
    ], []
