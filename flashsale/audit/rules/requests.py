"""What shoppers asked for, held against the ledger: nothing lost, invented or doubled."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from flashsale.audit.history import NO_ANSWER, Asked
from flashsale.ledger.holdings import Decided

_ACCEPTED = 202
_UNAVAILABLE = 503
_FAILURES = 500
_REFUSED = "queue-full"


@dataclass(slots=True)
class Request:
    """All tries under one key of a customer; without a key each try is a request of its own.

    Tuples, as there may be a million of these and most hold one.
    """

    customer: str
    key: str
    skus: tuple[str, ...]
    named: tuple[str, ...] = ()
    """Order ids in answers of any kind."""
    accepted: tuple[str, ...] = ()
    maybe: tuple[str, ...] = ()
    """Those of them that came with an unknown outcome."""
    nameless: bool = False
    """Whether a try had an unknown outcome and no id: it may have made any order."""

    @property
    def explains(self) -> tuple[str, ...]:
        """The ids that an order of this request may have."""
        return self.named if self.nameless else (*self.accepted, *self.maybe)

    def __str__(self) -> str:
        return f"customer {self.customer!r}, " + (f"key {self.key!r}" if self.key else "no key")


class Requests:
    """The requests of a history."""

    def __init__(self) -> None:
        self._keyed: dict[tuple[str, str], Request] = {}
        self._others: list[Request] = []
        self.asked = 0

    def add(self, asked: Asked) -> None:
        """Take up a try."""
        self.asked += 1
        request = self._request(asked)
        if asked.sku not in request.skus:
            request.skus += (asked.sku,)
        if asked.order_id and asked.order_id not in request.named:
            request.named += (asked.order_id,)
        if asked.status == _ACCEPTED:
            if asked.order_id not in request.accepted:
                request.accepted += (asked.order_id,)
        elif _is_unknown(asked):
            if not asked.order_id:
                request.nameless = True
            elif asked.order_id not in request.maybe:
                request.maybe += (asked.order_id,)

    def _request(self, asked: Asked) -> Request:
        if not asked.key:
            request = Request(asked.customer, "", (asked.sku,))
            self._others.append(request)
            return request
        name = asked.customer, asked.key
        found = self._keyed.get(name)
        if found is None:
            found = self._keyed[name] = Request(asked.customer, asked.key, (asked.sku,))
        return found

    def __iter__(self) -> Iterator[Request]:
        yield from self._keyed.values()
        yield from self._others

    def skus(self) -> set[str]:
        """Everything that was asked for."""
        return {sku for request in self for sku in request.skus}

    def accepted(self) -> dict[str, Request]:
        """Who was given each order id with a 202."""
        return {order_id: request for request in self for order_id in request.accepted}

    def named(self) -> set[str]:
        """Every order id that a shopper was told."""
        return {order_id for request in self for order_id in request.named}


def _is_unknown(asked: Asked) -> bool:
    """Whether the order may have been taken, though nobody said so."""
    if asked.status == _UNAVAILABLE:
        return asked.problem != _REFUSED
    return asked.status == NO_ANSWER or asked.status >= _FAILURES


def lost(
    requests: Requests, orders: Iterable[Decided], waiting: int
) -> tuple[list[str], list[str]]:
    """Accepted orders that are decided nowhere; and in words, if they may all be waiting.

    They may if at least as many wait in the queue: nobody can tell one that waits from another.
    An id that was given to two requests stands for one order, so the other's is lost.
    """
    decided = {order.id for order in orders}
    owner: dict[str, Request] = {}
    found: list[str] = []
    for request in requests:
        for order_id in request.accepted:
            first = owner.setdefault(order_id, request)
            if first is not request:
                found.append(f"order {order_id}: one order for {first}, and for {request}")
    missing = [order_id for order_id in owner if order_id not in decided]
    if missing and len(missing) <= waiting:
        return found, [f"{len(missing)} accepted orders are not decided, {waiting} wait"]
    also = f", and only {waiting} wait for {len(missing)} that are missing" if waiting else ""
    found += [f"order {order_id}: accepted, and not decided{also}" for order_id in missing]
    return found, []


def doubled_and_invented(
    requests: Requests, orders: Sequence[Decided]
) -> tuple[list[str], list[str]]:
    """Requests with two orders, and orders that no request explains.

    An answer with an id explains the order of this id. One without an answer explains one order of
    its customer and sku, whatever its id: this is all that is known. A local refusal explains
    nothing. Orders of skus that nobody in the history asked for are left out, as other sales share
    the database, and so are failed ones of which no more than the id is known.
    """
    doubled = [
        f"{request}: was given the orders {' and '.join(request.named)}"
        for request in requests
        if request.key and len(request.named) > 1
    ]
    skus = requests.skus()
    explained: dict[str, Request] = {}
    for request in requests:
        for order_id in request.explains:
            explained.setdefault(order_id, request)
    invented: list[str] = []
    unexplained: list[Decided] = []
    for order in orders:
        if order.sku not in skus:
            continue
        owner = explained.get(order.id)
        if owner is None:
            unexplained.append(order)
        elif owner.customer != order.customer or order.sku not in owner.skus:
            invented.append(
                f"order {order.id}: {order.sku} for customer {order.customer!r}, but it was"
                f" {owner} who asked, for {' and '.join(owner.skus)}"
            )
    if not unexplained:
        return doubled, invented
    # Those of unknown outcome: first the ones that may have made an order, then the ones that have
    # an order already, of which this would be the second.
    free: defaultdict[tuple[str, str], list[Request]] = defaultdict(list)
    taken: defaultdict[tuple[str, str], list[Request]] = defaultdict(list)
    for request in requests:
        if request.nameless:
            for sku in request.skus[:1]:
                (taken if request.named else free)[request.customer, sku].append(request)
    for order in unexplained:
        buyer = order.customer, order.sku
        if free[buyer]:
            free[buyer].pop()
        elif taken[buyer]:
            request = taken[buyer].pop()
            doubled.append(f"{request}: has the orders {request.named[0]} and {order.id}")
        else:
            invented.append(
                f"order {order.id}: {order.sku} for customer {order.customer!r}, who has not asked"
                " for it"
            )
    return doubled, invented
