"""Run `flashsale ...`, write down what it does, and kill it at a named point if one is given.

    FAULTS_HISTORY=FILE FAULTS_POINT=sold-not-committed:3 python -m tests.faults.observed consumer

The points are between the steps of the code as it is; nothing in the product knows of them, or of
these variables.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.pool import Pool

import flashsale.ledger.sql.holds.batches
import flashsale.ledger.sql.sink
from consumer.announcer import Announcer
from consumer.release_gate import ReleaseLog
from flashsale.audit.history import Acked, Committed, Observation, Released, encode_line
from flashsale.broker.rabbitmq.consumer import RabbitMQDeliveries
from flashsale.cli.main import app
from flashsale.ledger.sql.delivery.books import SqlDeliveryBooks
from flashsale.ledger.sql.effects import SqlEffectStore
from flashsale.ledger.sql.ledger import SqlLedger
from flashsale.ledger.sql.outbox import SqlOutbox
from flashsale.ledger.sql.sink import SqlSink
from gateway.intake.accept_order import OrderIntake

HISTORY = "FAULTS_HISTORY"
POINT = "FAULTS_POINT"
GRACE = "FAULTS_GRACE_SECONDS"
SQLITE_SYNCHRONOUS = "FAULTS_SQLITE_SYNCHRONOUS"

_HOUR = 3600.0
_ACK_ON_ITS_WAY_SECONDS = 0.1

POINTS: dict[str, tuple[Any, str, str]] = {
    "sold-not-committed": (flashsale.ledger.sql.sink, "decide_batch", "after"),
    "committed-not-acked": (SqlSink, "sell", "after"),
    "confirmed-not-answered": (OrderIntake, "accept", "after"),
    "paid-not-answered": (SqlLedger, "take_payments", "after"),
    "published-not-marked": (SqlOutbox, "mark", "before"),
    "marked-not-committed": (SqlOutbox, "mark", "after"),
    "handled-not-recorded": (SqlEffectStore, "take_effect", "before"),
    "effect-not-committed": (SqlEffectStore, "mark", "after"),
    "recorded-not-acked": (SqlEffectStore, "take_effect", "after"),
}
"""What is called, and whether the process dies before it or after it."""

ACKED_NOT_ANNOUNCED = "acked-not-announced"

HOLD_POINTS: dict[str, tuple[Any, str]] = {
    "freed-not-committed": (flashsale.ledger.sql.holds.batches, "change_orders"),
    "freed-not-acked": (SqlSink, "sell"),
}
"""What is called when holds have ended and others got them. The process dies after it."""


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(point: str, at: int) -> None:
    """Have this process kill itself when it comes to that point the `at`-th time."""
    if point == ACKED_NOT_ANNOUNCED:
        _die_unannounced(at)
        return
    if point in HOLD_POINTS:
        _die_after_a_change(*HOLD_POINTS[point], at)
        return
    owner, name, moment = POINTS[point]
    method = getattr(owner, name)
    calls = 0

    async def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        mine = calls  # others may come here while this one is away
        if mine == at and moment == "before":
            _die()
        result = await method(*arguments, **named)
        if mine == at:
            _die()
        return result

    setattr(owner, name, dying)


def _die_after_a_change(owner: Any, name: str, at: int) -> None:
    """Die after the `at`-th call that has changed orders which were decided before."""
    method = getattr(owner, name)
    changes = 0

    async def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal changes
        result = await method(*arguments, **named)
        changes += bool(arguments[1] if result is None else result.moved)
        if changes == at:
            _die()
        return result

    setattr(owner, name, dying)


def _die_unannounced(at: int) -> None:
    announce = Announcer.announce
    calls = 0

    def dying(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls < at:
            announce(*arguments)
        elif calls == at:
            # The acknowledgement is still in this process, and has to be at the broker.
            asyncio.get_running_loop().call_later(_ACK_ON_ITS_WAY_SECONDS, _die)

    Announcer.announce = dying  # type: ignore[method-assign, assignment]


def write_down(write: Callable[[Observation], None]) -> None:
    """Have the drain of this process tell `write` what it releases, commits and acknowledges."""
    process = os.getpid()
    release, sell, fail = ReleaseLog.add, SqlSink.sell, SqlSink.fail
    take, ack_through = RabbitMQDeliveries.take, RabbitMQDeliveries.ack_through
    begin, end, ack = SqlDeliveryBooks.begin, SqlDeliveryBooks.end, RabbitMQDeliveries.ack
    # By connection: what an older one held comes back to the next, not always in the same order.
    in_hand: WeakKeyDictionary[RabbitMQDeliveries, list[Any]] = WeakKeyDictionary()

    def releasing(log: ReleaseLog, now: float, count: int) -> None:
        # Of the very moment by which the gate paces: another reading of the clock may be late.
        write(Released(now, count, process))
        release(log, now, count)

    async def selling(sink: SqlSink, *arguments: Any, **named: Any) -> Any:
        verdict = await sell(sink, *arguments, **named)
        states = {str(o.order.id): str(o.status) for o in (*verdict.outcomes, *verdict.moved)}
        write(Committed(time.monotonic(), process, states))
        return verdict

    async def failing(sink: SqlSink, order_id: Any, *rest: Any) -> None:
        await fail(sink, order_id, *rest)
        write(Committed(time.monotonic(), process, {str(order_id): "failed"}))

    async def ending(books: SqlDeliveryBooks, *arguments: Any, **named: Any) -> Any:
        verdict = await end(books, *arguments, **named)
        states = {str(o.order.id): str(o.status) for o in verdict.outcomes}
        write(Committed(time.monotonic(), process, states))
        return verdict

    async def beginning(books: SqlDeliveryBooks, *arguments: Any, **named: Any) -> Any:
        begun = await begin(books, *arguments, **named)
        states = {str(o.order.id): str(o.status) for o in begun.verdict.outcomes}
        write(Committed(time.monotonic(), process, states))
        return begun

    def acking_one(deliveries: RabbitMQDeliveries, delivery: Any) -> None:
        write(Acked(time.monotonic(), process, [delivery.message_id]))
        ack(deliveries, delivery)

    def taking(deliveries: RabbitMQDeliveries, at_most: int) -> Any:
        taken = take(deliveries, at_most)
        in_hand.setdefault(deliveries, []).extend(taken)
        return taken

    def acking(deliveries: RabbitMQDeliveries, delivery: Any) -> None:
        held = in_hand[deliveries]
        acked = [one.message_id for one in held[: held.index(delivery) + 1]]
        write(Acked(time.monotonic(), process, acked))
        del held[: len(acked)]
        ack_through(deliveries, delivery)

    owner: Any
    for owner, name, watched in (
        (ReleaseLog, "add", releasing),
        (SqlSink, "sell", selling),
        (SqlSink, "fail", failing),
        (SqlDeliveryBooks, "begin", beginning),
        (SqlDeliveryBooks, "end", ending),
        (RabbitMQDeliveries, "take", taking),
        (RabbitMQDeliveries, "ack", acking_one),
        (RabbitMQDeliveries, "ack_through", acking),
    ):
        setattr(owner, name, watched)


def step_on_signal() -> None:
    """Have the clock of this process step an hour ahead at SIGUSR1, and back at SIGUSR2."""
    read, offset = time.time, 0.0

    def step(number: int, _: object) -> None:
        nonlocal offset
        offset += _HOUR if number == signal.SIGUSR1 else -_HOUR

    time.time = lambda: read() + offset
    signal.signal(signal.SIGUSR1, step)
    signal.signal(signal.SIGUSR2, step)


def shorten_grace(seconds: float) -> None:
    """Have a hold go on for that long after its end, not for half a minute."""
    for name, module in list(sys.modules.items()):
        ours = name.partition(".")[0] in ("flashsale", "gateway", "consumer")
        if ours and "GRACE_SECONDS" in vars(module):
            vars(module)["GRACE_SECONDS"] = seconds


def sync_sqlite(how: str) -> None:
    """Have SQLite's `PRAGMA synchronous` be another one than the product's.

    Checkpoints are off: a cut that comes right after one would show no difference.
    """

    @event.listens_for(Pool, "checkout")
    def on_checkout(connection: Any, *_: object) -> None:
        cursor = connection.cursor()
        for pragma in (f"synchronous={how}", "wal_autocheckpoint=0"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def _writer(file: Path) -> Callable[[Observation], None]:
    # By a system call each: what was seen by a process that is killed is seen.
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    return lambda observation: (os.write(descriptor, encode_line(observation)), None)[1]


if __name__ == "__main__":
    if (history := os.environ.get(HISTORY)) and sys.argv[1] == "consumer":
        write_down(_writer(Path(history)))
    if named := os.environ.get(POINT):
        at_point, _, nth = named.partition(":")
        die_at(at_point, int(nth))
    if grace := os.environ.get(GRACE):
        shorten_grace(float(grace))
    if synchronous := os.environ.get(SQLITE_SYNCHRONOUS):
        sync_sqlite(synchronous)
    step_on_signal()
    app(sys.argv[1:])
