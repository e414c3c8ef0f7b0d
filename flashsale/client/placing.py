"""Send an intention until it is taken, or refused for good."""

import asyncio

from flashsale.client.errors import NotTaken, OutcomeUnknown, Problem, Refused
from flashsale.client.exchanges import Exchange, Gateways
from flashsale.client.orders import Intention, OrderState
from flashsale.client.pauses import Patience, Pauses

_LOOKS = 3
_SAYS_NOTHING_OF_EARLIER_ATTEMPTS = frozenset({401, 403})


async def place(
    gateways: Gateways, intention: Intention, patience: Patience, taken_as: str | None = None
) -> OrderState:
    """Return the state of the order once a gateway has taken it.

    A retry has the same key, so that it meets the first attempt, whatever became of it. `taken_as`
    is the id of an earlier attempt that was taken. Raises `Refused`, `NotTaken` or
    `OutcomeUnknown`.
    """
    door = gateways.door()
    pauses = Pauses()
    unsure = taken_as is not None
    order_id = taken_as
    while True:
        seconds = min(gateways.attempt_seconds, patience.left)
        answer = await door.post(intention, seconds=seconds)
        if answer.status == 202 and answer.order is not None:
            return answer.order
        problem = answer.problem
        if problem is not None:
            order_id = problem.order_id or order_id
        if answer.refused and problem is not None and not problem.earlier_attempt:
            return await _refused(gateways, problem, unsure, order_id, patience)
        unsure = unsure or not answer.not_taken
        pause = pauses.next(answer.retry_after)
        if not patience.allows(pause):
            if unsure:
                raise OutcomeUnknown(order_id, problem)
            raise NotTaken(problem, pause)
        await asyncio.sleep(pause)


async def _refused(
    gateways: Gateways,
    problem: Problem,
    unsure: bool,
    order_id: str | None,
    patience: Patience,
) -> OrderState:
    """Return an earlier attempt that was taken nevertheless, or raise `Refused`.

    Its gateway may not have told the others of it yet, or is still waiting for the broker.
    """
    # The same body was refused before, too, and a reused key is another order's.
    if not unsure or problem.status in (400, 413, 415, 422):
        raise Refused(problem)
    if order_id is None or problem.status in _SAYS_NOTHING_OF_EARLIER_ATTEMPTS:
        raise OutcomeUnknown(order_id, problem)
    door = gateways.door()
    pauses = Pauses()
    unknown = 0
    while unknown < _LOOKS:
        pause = pauses.next(None)
        if not patience.allows(pause):
            raise OutcomeUnknown(order_id, problem)
        await asyncio.sleep(pause)
        seconds = min(gateways.attempt_seconds, patience.left)
        looked = await door.look(order_id, seconds=seconds)
        if looked.order is not None:
            return looked.order
        unknown += is_unknown(looked)
    raise Refused(problem)


def is_unknown(looked: Exchange) -> bool:
    """Return whether a gateway says that it knows no such order."""
    return looked.problem is not None and looked.problem.kind == "unknown-order"
