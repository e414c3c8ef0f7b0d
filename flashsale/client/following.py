"""Follow an order by long polls until it is decided."""

import asyncio

from flashsale.client.errors import Undecided, UnknownOrder
from flashsale.client.exchanges import Gateways
from flashsale.client.orders import OrderState
from flashsale.client.pauses import Patience, Pauses
from flashsale.client.placing import is_unknown
from flashsale.domain.order_states import OPEN, Status

_WAIT_SECONDS = 20
_LOOKS = 3


async def follow(
    gateways: Gateways, order_id: str, patience: Patience, *, final: bool = False
) -> OrderState:
    """Return the state of the order once it is decided, or with `final` once it is final.

    Raises `UnknownOrder` if three answers in a row say that no such order is known, and `Undecided`
    if the patience runs out, or if a gateway refuses to tell.
    """
    door = gateways.door()
    pauses = Pauses()
    unknown = 0
    seen: str = Status.QUEUED
    while True:
        wait = int(min(_WAIT_SECONDS, patience.left))
        seconds = min(wait + gateways.attempt_seconds, patience.left)
        looked = await door.look(order_id, seconds=seconds, wait=wait, seen=seen)
        order = looked.order
        if order is not None and (order.final if final else order.decided):
            return order
        if is_unknown(looked):
            unknown += 1
            if unknown == _LOOKS:
                raise UnknownOrder(order_id, looked.problem)
        elif looked.refused:
            raise Undecided(order_id, looked.problem)
        if order is not None:
            unknown, pauses = 0, Pauses()
            seen = order.status if order.status in OPEN else seen
        # Also after an answer: a gateway may allow shorter waits, or none.
        pause = pauses.next(looked.retry_after)
        if not patience.allows(pause):
            raise Undecided(order_id, looked.problem)
        await asyncio.sleep(pause)
