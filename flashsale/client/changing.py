"""Cancel an order, or extend its hold, until a gateway says what became of that."""

import asyncio
from typing import Literal

from flashsale.client.errors import Refused, Undecided, UnknownOrder
from flashsale.client.exchanges import Gateways
from flashsale.client.orders import OrderState
from flashsale.client.pauses import Patience, Pauses
from flashsale.client.placing import is_unknown


async def change(
    gateways: Gateways, order_id: str, action: Literal["cancel", "extend"], patience: Patience
) -> OrderState:
    """Return the state of the order once it is changed.

    An attempt whose answer was lost is repeated: it may have changed the order already. Raises
    `Refused`, `UnknownOrder`, or `Undecided` if the patience runs out.
    """
    door = gateways.door()
    pauses = Pauses()
    unsure = False
    while True:
        seconds = min(gateways.attempt_seconds, patience.left)
        told = await door.change(order_id, action, seconds=seconds)
        if told.order is not None:
            return told.order
        if is_unknown(told):
            raise UnknownOrder(order_id, told.problem)
        if told.refused and told.problem is not None:
            if unsure and told.problem.kind == "extended-already":
                looked = await door.look(order_id, seconds=seconds)
                if looked.order is not None:
                    return looked.order
            raise Refused(told.problem)
        unsure = True
        pause = pauses.next(told.retry_after)
        if not patience.allows(pause):
            raise Undecided(order_id, told.problem)
        await asyncio.sleep(pause)
