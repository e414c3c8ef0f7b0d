"""What follows a sale: each service did its work for every event, once."""

from collections import Counter
from collections.abc import Mapping, Sequence

from flashsale.audit.rules.evidence import ExpectedEffects
from flashsale.ledger.holdings import Holdings, Tally
from flashsale.messages.events import event_topic

_FAILED = "failed"


def effects(
    holdings: Holdings, duties: Sequence[ExpectedEffects], waiting: Mapping[str, int]
) -> tuple[list[str], list[str]]:
    """Find effects that are missing, twice, or of no event; and in words, what is still to be done.

    Effects are judged by the orders that they are for, as events are pruned before long. `waiting`
    are the events in each service's queues. What the services have in hand is in neither place, so
    they have to be done before they are judged.
    """
    found: list[str] = []
    to_do: list[str] = []
    for duty in duties:
        due = _due(holdings, duty)
        done = Counter(holdings.effects.get(duty.service, ()))
        found += [
            f"{duty.service}: done {times} times for {order_id}"
            for order_id, times in done.items()
            if times > max(1, due.get(order_id, 0))
        ]
        found += [
            f"{duty.service}: done for {order_id}, which is no event of its own"
            for order_id in done
            if order_id not in due
        ]
        missing = [order_id for order_id, events in due.items() if done[order_id] < events]
        sent = [order_id for order_id in missing if order_id not in holdings.unsent]
        in_queue = waiting.get(duty.service, 0)
        if len(sent) > in_queue:
            found += [f"{duty.service}: not done for {order_id}" for order_id in sent]
        elif missing:
            unsent = len(missing) - len(sent)
            to_do.append(
                f"{duty.service} has {len(missing)} events to do, {unsent} of them unsent and"
                f" {in_queue} in its queues"
            )
        if tally := holdings.tallies.get(duty.service):
            found += _miscounted(duty, tally)
    return found, to_do


def _due(holdings: Holdings, duty: ExpectedEffects) -> dict[str, int]:
    """Return how many events of each order a service has to do, in the ledger's sequence."""
    wants: dict[tuple[str, str], bool] = {}
    due: dict[str, int] = {}
    for order in holdings.orders:
        for status in (order.status, *order.earlier):
            kind = status, order.sku
            if kind not in wants:
                wants[kind] = status != _FAILED and duty.wants(event_topic(*kind))
            if wants[kind]:
                due[order.id] = due.get(order.id, 0) + 1
    return due


def _miscounted(duty: ExpectedEffects, tally: Tally) -> list[str]:
    """Find buyers for whom a service has not added up what it has done."""
    found = []
    for buyer in {**tally.counted, **tally.done}:
        counted, right = tally.counted.get(buyer, 0), tally.done.get(buyer, 0) * duty.per_item
        if counted != right:
            sku, customer = buyer
            where = f"sale {sku}: " if sku else ""
            found.append(
                f"{duty.service}: {where}counts {counted} for customer {customer!r}, not {right}"
            )
    return found
