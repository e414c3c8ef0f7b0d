"""The machine: orders, deliveries, deaths and time in any order, and the promises after each.

Hypothesis plays it, as it makes what fails small; `tests.model.walk` plays it some times as fast.
Every rule draws one value, of a list: most of what a step costs is the drawing.
"""

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flashsale.domain.orders import OrderRequest
from flashsale.domain.sales import Sale
from tests.model.books import QuickBooks, SqlBooks
from tests.model.clock import Clock
from tests.model.faulty_broker import BrokerFault
from tests.model.faulty_ledger import LedgerFault
from tests.model.loop import IN_ORDER, SeededLoop
from tests.model.shop import Books, Shop

CLOCK = Clock()
"""What the product reads while a machine runs: see `tests.model.clock.injected`."""

T = TypeVar("T")
Rule = Callable[[Any, T], None]

UNWRITABLE = "nul"
"""A customer whose orders the database refuses, until it is mended."""

GATEWAYS = 0, 1
SKUS = "tv", "phone"
POSTS = [
    (at, OrderRequest(sku, customer, quantity), key)
    for quantity, key, customer, sku, at in product(
        (1, 2, 3), (None, "k1", "k2"), ("ann", "ben", UNWRITABLE), (*SKUS, "none"), GATEWAYS
    )
]
TROUBLES: list[BrokerFault | LedgerFault] = [
    "lost",
    "taken, but unanswered",
    "announcement lost",
    "busy",
    "lost before commit",
    "lost after commit",
    "drain dies before commit",
    "drain dies after commit",
    "drain dies after ack",
]
OFFERS = list(product((1, 2, 4, 6), (None, 2, 3)))
NOT_ORDERS = [b"", b"junk", b"\xc1", b"\x95\xa1x\xa2tv\xa1c\x01\x00"]

ARGUMENTS: dict[str, Sequence[Any]] = {}
"""What each rule may be given, by its name."""


def step(
    arguments: Sequence[T], rules: dict[str, Sequence[Any]] = ARGUMENTS
) -> Callable[[Rule[T]], Rule[T]]:
    """A rule that is given one of these, of which the first is the simplest."""

    def decorate(function: Rule[T]) -> Rule[T]:
        rules[function.__name__] = arguments
        return rule(of=st.sampled_from(arguments))(function)

    return decorate


class SaleMachine(RuleBasedStateMachine):
    """A sale on the quick ledger."""

    steps = 0
    """How many were played, in all examples."""
    arguments: ClassVar = ARGUMENTS
    """The rules, and what each may be given."""

    @initialize(seed=st.integers(0, 2**16), offer=st.sampled_from(OFFERS))
    def open_shop(self, seed: int, offer: tuple[int, int | None]) -> None:
        random.seed(seed)  # the product's jitter
        CLOCK.now = 0.0
        CLOCK.stepped = 0.0
        self.shop = self.make_shop(self.sales(offer), seed)

    def sales(self, offer: tuple[int, int | None]) -> Sequence[Sale]:
        """The sales. The second one begins soon, and is over after a while."""
        at = CLOCK.time()
        return [Sale("phone", 2, 0, None, at + 1.5, at + 8), Sale("tv", offer[0], 0, offer[1])]

    def make_shop(self, sales: Sequence[Sale], seed: int) -> Shop:
        """The shop with these sales."""
        return Shop(self.books(sales), sales, [UNWRITABLE], CLOCK, seed)

    def books(self, sales: Sequence[Sale]) -> Books:
        """The ledger of this machine, with these sales."""
        return QuickBooks(sales)

    @step(POSTS)
    def post(self, of: tuple[int, OrderRequest, str | None]) -> None:
        self.shop.post(*of)

    @step(list(product(GATEWAYS, range(12))))
    def send_again(self, of: tuple[int, int]) -> None:
        at, back = of
        if self.shop.attempts:
            before = self.shop.attempts[-1 - back % len(self.shop.attempts)]
            self.shop.post(at, before.request, before.key)

    @step(list(product(GATEWAYS, range(6))))
    def send_another_under_its_key(self, of: tuple[int, int]) -> None:
        at, back = of
        if self.shop.attempts:
            before = self.shop.attempts[-1 - back % len(self.shop.attempts)]
            request = before.request
            other = OrderRequest(request.sku, request.customer_id, 1 + request.quantity % 3)
            self.shop.post(at, other, before.key)

    @step(list(product(SKUS, range(3, 10))))
    def spike(self, of: tuple[str, int]) -> None:
        sku, count = of
        for number in range(count):
            self.shop.post(number % 2, OrderRequest(sku, f"c-{number}"), None)

    @step([1, 2, 3, 5, 8, 13, 21])
    def take_turns(self, of: int) -> None:
        self.shop.loop.turns(of)

    @step([0.002, 0.06, 0.2, 1.1])
    def let_time_pass(self, of: float) -> None:
        self.shop.loop.forward(of)

    @step(list(product(GATEWAYS, range(6))))
    def look(self, of: tuple[int, int]) -> None:
        at, back = of
        if self.shop.attempts:
            self.shop.look(at, self.shop.attempts[-1 - back % len(self.shop.attempts)])

    @step(TROUBLES)
    def be_in_trouble_soon(self, of: BrokerFault | LedgerFault) -> None:
        self.shop.prepare(of)

    @step(["crashes", "is stopped"])
    def the_drain(self, of: str) -> None:
        # Another one takes over: it waits a second before it does.
        if of == "crashes":
            self.shop.crash_drain()
        else:
            self.shop.stop_drain()
        self.shop.start_drain()

    @step(GATEWAYS)
    def a_gateway_restarts(self, of: int) -> None:
        self.shop.restart_gateway(of)

    @step(SKUS)
    def a_sale_closes_or_opens_again(self, of: str) -> None:
        sale = self.shop.expected.terms[of]
        now = CLOCK.time()
        over = sale.closes_at is not None and sale.closes_at <= now
        self.shop.change(replace(sale, opens_at=None, closes_at=None if over else now))

    @step(NOT_ORDERS)
    def something_else_is_in_the_queue(self, of: bytes) -> None:
        self.shop.poison(of)

    @step([False, True])
    def the_dead_are_tried_again(self, of: bool) -> None:
        self.shop.ledger.unwritable = set() if of else {UNWRITABLE}
        self.shop.replay()

    @step([None])
    def all_settles(self, of: None) -> None:
        self.shop.settle()

    @invariant()
    def promises_hold(self) -> None:
        SaleMachine.steps += 1
        self.shop.check()

    def teardown(self) -> None:
        if hasattr(self, "shop"):
            try:
                if sys.exception() is None:
                    self.shop.settle()
            finally:
                self.shop.close()


class SqlSaleMachine(SaleMachine):
    """A sale on the product's own ledger, whose tables are made already."""

    tables: SqlBooks

    def books(self, sales: Sequence[Sale]) -> Books:
        loop = SeededLoop(CLOCK, IN_ORDER)
        loop.at_once(self.tables.begin(sales))
        loop.close()
        return self.tables
