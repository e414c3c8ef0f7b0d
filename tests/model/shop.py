"""The system under test: two gateways, a queue and a drain, all of the product's own code."""

import asyncio
import math
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast, get_args

from consumer.announcer import Announcer
from consumer.dead_letters import DeadLetters
from consumer.drain_control import DrainControl
from consumer.drain_loop import DrainLoop
from consumer.release_gate import ReleaseGate
from flashsale.broker import DeadQueue, sale_topology
from flashsale.broker.dead_letters import replay
from flashsale.domain.controls import Controls
from flashsale.domain.order_ids import OrderId, keyed_order_id
from flashsale.domain.orders import OrderRequest, Outcome
from flashsale.domain.sales import Sale
from flashsale.observability.consumer_metrics import ConsumerMetrics
from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.http.problems import kind_of
from gateway.intake.accept_order import IntakeParts, OrderIntake
from gateway.intake.earlier_attempts import EarlierAttempts
from gateway.intake.full_queue import FullQueue
from gateway.intake.refusals import Refusal
from gateway.intake.retry_after import RetryAfter
from gateway.state.announcements import AnnouncedState, Announcements
from gateway.state.arrivals import ArrivalsBySecond, OtherGateways
from gateway.state.backlog import Backlog
from gateway.state.drain.known_controls import KnownControls
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.ledger_lookup import LedgerLookup
from gateway.state.orders import KnownOrder, KnownOrders
from gateway.state.queue_position import QueuePosition
from gateway.state.sales import KnownSales
from gateway.state.stream_changes import StreamChanges
from tests.model.clock import Clock
from tests.model.expected import Expected
from tests.model.faulty_broker import BrokerFault, FaultyBroker
from tests.model.faulty_ledger import FaultyLedger, LedgerFault, SaleLedger
from tests.model.loop import SeededLoop

RATE = 20
BATCH = 3
QUEUE_LENGTH = 6
QUERIES = 10
REMEMBERED_SECONDS = 900
SECRET = b"a secret of all gateways"

AFTER = {
    "queued": {"waitlisted", "held", "expired", "confirmed", "rejected", "cancelled", "failed"},
    "failed": {"waitlisted", "held", "expired", "confirmed", "rejected", "cancelled", "queued"},
    "waitlisted": {"held", "expired", "confirmed", "rejected", "cancelled"},
    "held": {"expired", "confirmed", "cancelled"},
    "expired": {"confirmed", "cancelled"},
    "confirmed": {"cancelled"},
    "rejected": set[str](),
    "cancelled": set[str](),
}
"""What shoppers may be told after each state."""

_UNKNOWN = "broker-unavailable", "reset"
_LONGEST_DRAIN_SECONDS = 60.0
_ANNOUNCED_SECONDS = 0.1
_NEWS_SECONDS = 4.0  # more than a gateway lets pass before it looks an overdue order up

# Counters of a whole run, as to make them takes longer than a hundred steps.
gateway_metrics = GatewayMetrics()
_consumer_metrics = ConsumerMetrics()


class UntouchedControls:
    """The controls of a drain that no operator changes."""

    async def read(self, name: str) -> Controls:
        return Controls()


class Books(Protocol):
    """A ledger that can be looked into."""

    @property
    def ledger(self) -> SaleLedger:
        """The ledger."""

    async def change(self, sale: Sale) -> None:
        """Give a sale other terms, as an operator might."""

    async def rows(self) -> tuple[Mapping[OrderId, Outcome], Counter[tuple[str, str]]]:
        """All orders by id, and the number of events by order id and topic."""

    async def wrong(self) -> Sequence[str]:
        """What an audit finds wrong."""


@dataclass
class Attempt:
    """An order as a shopper sent it once. `answer` is `taken`, a problem's kind, or `reset`."""

    number: int
    request: OrderRequest
    key: str | None
    order_id: str
    answer: str | None = None


@dataclass
class Gateway:
    """One that lives until it is restarted, and what it has told shoppers."""

    intake: OrderIntake
    orders: KnownOrders
    sales: KnownSales
    drain: KnownDrain
    announcements: Announcements
    tasks: list[asyncio.Task[None]]
    posts: dict[asyncio.Task[None], Attempt] = field(default_factory=dict)
    """Those that are not answered, but for the ones that ended just now."""
    told: dict[str, str] = field(default_factory=dict)


def _post_number() -> str:
    """The id of an order without a key, as a replay needs it: its attempt's number."""
    task = asyncio.current_task()
    assert task is not None
    return f"{int(task.get_name()):032x}"


class Shop:
    """A sale and everything around it. Every method leaves tasks where they are."""

    new_order_id = staticmethod(_post_number)
    expected: Expected
    ledger: FaultyLedger

    def __init__(
        self,
        books: Books,
        sales: Sequence[Sale],
        unwritable: Sequence[str],
        clock: Clock,
        seed: int,
    ) -> None:
        self.clock = clock
        self.loop = SeededLoop(clock, seed)
        self.books = books
        self._begin(books, sales)
        self.ledger.kill_drain = self._kill_drain
        self.ledger.unwritable = set(unwritable)
        self.topology = sale_topology("", QUEUE_LENGTH, "classic")
        self.broker = FaultyBroker(self.topology)
        self.attempts: list[Attempt] = []
        self._poisoned: set[str] = set()
        self._poison_number = 0
        self._drain_died = False
        self._draining: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self.loop.finish(self.broker.__aenter__())
        self.gateways = [self._gateway(), self._gateway()]
        self.start_drain()

    def _begin(self, books: Books, sales: Sequence[Sale]) -> None:
        """Set what is expected, and the ledger."""
        self.expected = Expected(sales, RATE)
        self.ledger = FaultyLedger(books.ledger, self.expected, self.clock.monotonic)

    def _gateway(self) -> Gateway:
        changes, drain = StreamChanges(), KnownDrain(RATE)
        sales, queue_position = KnownSales(self.ledger, changes, drain.now), QueuePosition(drain)
        backlog = Backlog(self.broker, self.topology.orders, queue_position, changes)
        controls = KnownControls(UntouchedControls(), "sale", drain, changes)
        orders = KnownOrders(queue_position, 1000, REMEMBERED_SECONDS)
        others = OtherGateways()
        lookup = LedgerLookup(self.ledger, QUERIES, gateway_metrics)
        announcements = Announcements(
            self.broker,
            self.topology.outcomes,
            AnnouncedState(
                orders,
                sales,
                backlog,
                drain,
                controls,
                ArrivalsBySecond(),
                others,
                changes,
            ),
            lookup=lookup,
            metrics=gateway_metrics,
        )
        parts = IntakeParts(
            self.broker,
            self.topology.orders,
            sales,
            controls,
            orders,
            EarlierAttempts(
                orders, sales, queue_position, lookup, queries=QUERIES, seconds=REMEMBERED_SECONDS
            ),
            announcements,
            FullQueue(announcements, others, refuses_late=False),
            RetryAfter(backlog, drain),
            drain.now,
        )
        intake = OrderIntake(parts, secret=SECRET)
        self.loop.finish(sales.read())
        self.loop.finish(backlog.recount())
        followed: list[Coroutine[None, None, None]] = [
            sales.follow(),
            backlog.follow(),
            lookup.run(),
            announcements.follow(),
            announcements.sweep(),
            announcements.announce(),
        ]
        tasks = [self.loop.create_task(task) for task in followed]
        return Gateway(intake, orders, sales, drain, announcements, tasks)

    # What shoppers do.

    def post(self, gateway: int, request: OrderRequest, key: str | None) -> None:
        """Send an order; the answer comes when its task has had its turns."""
        number = len(self.attempts)
        if key is None:
            order_id = f"{number:032x}"
        else:
            order_id = keyed_order_id(SECRET, request.customer_id, key)
        attempt = Attempt(number, request, key, order_id)
        self.attempts.append(attempt)
        at = self.gateways[gateway]
        post = self.loop.create_task(self._post(at, attempt), name=str(number))
        at.posts[post] = attempt

    async def _post(self, at: Gateway, attempt: Attempt) -> None:
        sent_at = self.clock.monotonic()
        try:
            known = await at.intake.accept(attempt.request, attempt.key)
        except Refusal as refusal:
            attempt.answer = kind_of(refusal)
            named = refusal.order_id or attempt.order_id
            self._check_refusal(attempt)
            if attempt.answer != "key-reused" and not refusal.earlier_unknown:
                self._check_unsold(attempt, sent_at)
        else:
            attempt.answer = "taken"
            named = known.order_id
            self.expected.accepted(named)
        assert named == attempt.order_id, "one key stands for two orders"

    def _check_refusal(self, refused: Attempt) -> None:
        """What a shopper is told is so."""
        request = refused.request
        match refused.answer:
            case "sold-out":
                assert self.expected.was_sold_out(request.sku), "refused, but not sold out"
            case "unknown-sku":
                assert request.sku not in self.expected.terms
            case "key-reused":
                assert any(
                    other.order_id == refused.order_id and other.request != request
                    for other in self.attempts
                ), "a new key was taken for an old one"

    def _check_unsold(self, refused: Attempt, sent_at: float) -> None:
        """Nobody who has bought is told that there was no order.

        A gateway may not know an order that another one took before it died, if its decision was
        never announced. Nor need it know that the key was used before for something else.
        """
        bought = self.expected.decided_orders.get(refused.order_id)
        if bought is None or bought.sku != refused.request.sku:
            return
        if not (self.broker.announcement_lost or self._drain_died):
            bought_at = self.expected.confirmed_at.get(refused.order_id, math.inf)
            assert bought_at > sent_at - _ANNOUNCED_SECONDS, "refused, but bought"

    def look(self, gateway: int, attempt: Attempt) -> None:
        """Ask a gateway for an order's state: it never goes back, and is what was committed."""
        at, order_id = self.gateways[gateway], attempt.order_id
        known = at.orders.get(OrderId(order_id))
        if known is None:
            return
        told = at.told.get(order_id, "queued")
        # A failed order is decided after all if an operator has it tried again.
        assert known.status in (told, *AFTER[told]), f"{order_id} was {told}"
        at.told[order_id] = str(known.status)
        if known.status not in ("queued", "failed"):
            assert known.status in self.expected.past[order_id]
            decided = self.expected.decided_orders[order_id]
            if known.status == "cancelled":
                return  # while it was queued, perhaps, and before anybody read it
            assert (known.sku, known.quantity) == (decided.sku, decided.quantity), "not its order"

    # What befalls the shop.

    def restart_gateway(self, number: int) -> None:
        """Kill a gateway: its shoppers get no answer, and its memory is lost."""
        gone = self.gateways[number]
        self._end([*gone.posts, *gone.tasks])
        for attempt in gone.posts.values():
            attempt.answer = attempt.answer or "reset"
        self.gateways[number] = self._gateway()

    def start_drain(self) -> None:
        """Start a drain, which knows nothing of the one before."""
        outcomes, orders = self.topology.outcomes, self.topology.orders
        control = DrainControl(RATE, BATCH)
        announcer = Announcer(broker=self.broker, exchange=outcomes, control=control)
        drain = DrainLoop(
            broker=self.broker,
            queue=orders,
            leases=self.ledger,
            control=control,
            gate=ReleaseGate(control),
            dead_letters=DeadLetters(
                broker=self.broker,
                exchange=orders,
                announcer=announcer,
                metrics=_consumer_metrics,
            ),
            announcer=announcer,
            wake_relay=self._acked,
            metrics=_consumer_metrics,
        )
        self._stop = asyncio.Event()
        self._draining = self.loop.create_task(drain.run(self._stop))

    @property
    def drains(self) -> bool:
        """Whether a drain is there, and not about to die."""
        drain = self._draining
        return drain is not None and not drain.done() and not drain.cancelling()

    def crash_drain(self) -> None:
        """Kill the drain, wherever it is."""
        self._drain_died = True
        if self._draining is not None:
            self._end([self._draining])

    def stop_drain(self) -> None:
        """Have the drain settle what it has in hand, and end."""
        self._stop.set()
        assert self._draining is not None
        assert self.loop.until(self._draining.done, _LONGEST_DRAIN_SECONDS), "it never stops"
        if not self._draining.cancelled():
            self._draining.result()

    def _kill_drain(self) -> None:
        self._drain_died = True
        if self._draining is not None:
            self._draining.cancel()

    def _acked(self, _: bool) -> None:
        if self.ledger.befalls("drain dies after ack"):
            self._kill_drain()

    def prepare(self, fault: BrokerFault | LedgerFault) -> None:
        """Have this befall the next message, or the next batch, that it is for."""
        if fault in get_args(LedgerFault):
            self.ledger.fault = cast(LedgerFault, fault)
        else:
            self.broker.fault = cast(BrokerFault, fault)

    def change(self, sale: Sale) -> None:
        """Give a sale other terms."""
        self.expected.terms[sale.sku] = sale
        self.loop.at_once(self.books.change(sale))

    def poison(self, body: bytes) -> None:
        """Put something in the queue that is no order."""
        self._poison_number += 1
        message_id = f"{0xDEAD:08x}{self._poison_number:024x}"
        self._poisoned.add(message_id)
        self.broker.insert(message_id, body)

    def replay(self) -> None:
        """Have everything in the dead queue tried again."""
        [dead] = self.topology.dead_queues
        self.broker.fault = None
        self.loop.finish(self._replay(dead))

    async def _replay(self, dead: DeadQueue) -> None:
        await replay(self.broker, dead, None)  # a full queue leaves them where they are

    def _end(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        for task in tasks:
            assert self.loop.until(task.done, seconds=0), f"{task} does not end"

    # What must be so.

    def check(self) -> None:
        """After every step: nothing is lost, and no task has failed."""
        if self.expected.waiting:
            lost = self.expected.waiting - self.broker.undecided()
            assert not lost, f"accepted, not decided, and in no queue: {lost}"
        if self.loop.failures:
            raise AssertionError(self.loop.failures)
        for gateway in self.gateways:
            for post in [post for post in gateway.posts if post.done()]:
                del gateway.posts[post]
                post.result()
        if self._draining is not None and self._draining.done() and not self._draining.cancelled():
            self._draining.result()

    def settle(self) -> None:
        """Let everything be delivered, without faults; then every promise must be kept."""
        self.broker.fault = self.ledger.fault = None
        if not self.drains:
            self.crash_drain()
            self.start_drain()
        drained = self.loop.until(self._settled, _LONGEST_DRAIN_SECONDS)
        self.check()
        assert drained, "it never drains"
        assert not self.expected.waiting
        if any(gateway.orders.oldest_waiting(1, -1) for gateway in self.gateways):
            self.loop.forward(_NEWS_SECONDS)
        self._check_answers()
        self.expected.check_ledger(*self.loop.at_once(self.books.rows()))
        wrong = self.loop.at_once(self.books.wrong())
        assert not wrong, wrong

    def _settled(self) -> bool:
        answered = all(post.done() for gateway in self.gateways for post in gateway.posts)
        return answered and not self.broker.undecided()

    def _check_answers(self) -> None:
        states = self.expected.states
        may_be_there = set(self._poisoned)
        for attempt in self.attempts:
            if attempt.answer == "taken":
                assert attempt.order_id in states
            if attempt.answer == "taken" or attempt.answer in _UNKNOWN:
                may_be_there.add(attempt.order_id)
        assert states.keys() <= may_be_there, "refused, but in the ledger"
        for gateway in self.gateways:
            for attempt in self.attempts:
                known = gateway.orders.get(OrderId(attempt.order_id))
                # A failed order that was tried again is looked up when somebody asks for it.
                if known is not None and known.status != "failed":
                    self._check_known(known, states[attempt.order_id][0])

    def _check_known(self, known: KnownOrder, status: str) -> None:
        """A gateway knows the state of an order."""
        assert known.status == status

    def close(self) -> None:
        """End every task."""
        tasks = [task for gateway in self.gateways for task in (*gateway.posts, *gateway.tasks)]
        if self._draining is not None:
            tasks.append(self._draining)
        self._end(tasks)
        self.loop.close()
