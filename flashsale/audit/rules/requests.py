"""Rules for requests: the ledger has lost, invented and doubled no order of the shoppers."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from flashsale.audit.history import NO_ANSWER, OrderAttempt
from flashsale.domain.customers import normal_customer_id
from flashsale.ledger.holdings import Decided

_ACCEPTED = 202
_UNAVAILABLE = 503
_FAILURES = 500
_REFUSED = "queue-full"


@dataclass(slots=True)
class Request:
    """All attempts of a customer under one key. An attempt without a key is its own request.

    The fields are tuples to save memory: there may be a million requests, most with one id.
    """

    customer: str
    key: str
    skus: tuple[str, ...]
    order_ids: tuple[str, ...] = ()
    """The order ids in all answers."""
    accepted: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()
    """The order ids in answers that leave the outcome unknown."""
    any_id: bool = False
    """Whether an attempt had an unknown outcome and no id: its order may have any id."""

    @property
    def possible_ids(self) -> tuple[str, ...]:
        """Return the ids that an order of this request may have."""
        return self.order_ids if self.any_id else (*self.accepted, *self.uncertain)

    def __str__(self) -> str:
        return f"customer {self.customer!r}, " + (f"key {self.key!r}" if self.key else "no key")


class Requests:
    """The requests of a history."""

    def __init__(self, *, casefold: bool = False) -> None:
        """With `casefold` customers whose ids differ only in case are one, as for the gateways."""
        self._casefold = casefold
        self._keyed: dict[tuple[str, str], Request] = {}
        self._others: list[Request] = []
        self.attempts = 0

    def add(self, attempt: OrderAttempt) -> None:
        """Add an attempt to its request."""
        self.attempts += 1
        request = self._request(attempt)
        if attempt.sku not in request.skus:
            request.skus += (attempt.sku,)
        if attempt.order_id and attempt.order_id not in request.order_ids:
            request.order_ids += (attempt.order_id,)
        if attempt.status == _ACCEPTED:
            if attempt.order_id not in request.accepted:
                request.accepted += (attempt.order_id,)
        elif _is_unknown(attempt):
            if not attempt.order_id:
                request.any_id = True
            elif attempt.order_id not in request.uncertain:
                request.uncertain += (attempt.order_id,)

    def _request(self, attempt: OrderAttempt) -> Request:
        # A history has the ids as shoppers sent them, the ledger has them in their normal form.
        customer = normal_customer_id(attempt.customer, casefold=self._casefold)
        if not attempt.key:
            request = Request(customer, "", (attempt.sku,))
            self._others.append(request)
            return request
        name = customer, attempt.key
        found = self._keyed.get(name)
        if found is None:
            found = self._keyed[name] = Request(customer, attempt.key, (attempt.sku,))
        return found

    def __iter__(self) -> Iterator[Request]:
        yield from self._keyed.values()
        yield from self._others

    def skus(self) -> set[str]:
        """Return every sku that was ordered."""
        return {sku for request in self for sku in request.skus}

    def accepted(self) -> dict[str, Request]:
        """Return the request of each order id that was answered with a 202."""
        return {order_id: request for request in self for order_id in request.accepted}

    def order_ids(self) -> set[str]:
        """Return every order id that a shopper received."""
        return {order_id for request in self for order_id in request.order_ids}


def _is_unknown(attempt: OrderAttempt) -> bool:
    """Return whether the order may have been accepted although the answer does not say so."""
    if attempt.status == _UNAVAILABLE:
        return attempt.problem != _REFUSED
    return attempt.status == NO_ANSWER or attempt.status >= _FAILURES


def lost(
    requests: Requests, orders: Iterable[Decided], waiting: int
) -> tuple[list[str], list[str]]:
    """Return accepted orders that the ledger has lost, and a line if they may still be queued.

    They may all be queued if the queue holds at least as many orders. If two requests got the same
    id, there is one order for both, so one of them is lost.
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
    also = f"; {len(missing)} are missing and only {waiting} wait" if waiting else ""
    found += [f"order {order_id}: accepted but not decided{also}" for order_id in missing]
    return found, []


def doubled_and_invented(
    requests: Requests, orders: Sequence[Decided]
) -> tuple[list[str], list[str]]:
    """Return requests with two orders, and orders that no request explains.

    An answer with an id explains the order of this id. An attempt without an answer explains one
    order of its customer and sku with any id. A local refusal explains nothing. Ignore skus that
    the history does not order, as other sales share the database, and failed orders whose sku is
    unknown.
    """
    doubled = [
        f"{request}: was given the orders {' and '.join(request.order_ids)}"
        for request in requests
        if request.key and len(request.order_ids) > 1
    ]
    skus = requests.skus()
    explained: dict[str, Request] = {}
    for request in requests:
        for order_id in request.possible_ids:
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
                f"order {order.id}: {order.sku} for customer {order.customer!r}, but its request"
                f" is of {owner}, for {' and '.join(owner.skus)}"
            )
    if not unexplained:
        return doubled, invented
    # First use requests without an order. If there is none, the order is the second one of a
    # request that has an order already.
    free: defaultdict[tuple[str, str], list[Request]] = defaultdict(list)
    taken: defaultdict[tuple[str, str], list[Request]] = defaultdict(list)
    for request in requests:
        if request.any_id:
            for sku in request.skus[:1]:
                (taken if request.order_ids else free)[request.customer, sku].append(request)
    for order in unexplained:
        buyer = order.customer, order.sku
        if free[buyer]:
            free[buyer].pop()
        elif taken[buyer]:
            request = taken[buyer].pop()
            doubled.append(f"{request}: has the orders {request.order_ids[0]} and {order.id}")
        else:
            invented.append(
                f"order {order.id}: {order.sku} for customer {order.customer!r}, who did not order"
                " it"
            )
    return doubled, invented
