"""`flashsale dead ...`: list, show, replay and drop dead letters."""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from flashsale.broker import Broker, Delivery, open_broker
from flashsale.broker.dead_letters import DeadQueue, drop, peek, replay
from flashsale.messages.codec import MessageError
from flashsale.messages.events import decode_event
from flashsale.messages.headers import ATTEMPTS, DIED_AT, REASON
from flashsale.messages.orders import decode_order
from flashsale.runtime.process import fail, run, settings_or_fail
from flashsale.runtime.settings import SettingsError
from flashsale.runtime.stack import require_shared_broker, topology_of

T = TypeVar("T")

dead_app = typer.Typer(
    help="Dead letters: orders and events that could not be read or processed.",
    no_args_is_help=True,
)

QueueName = Annotated[
    str | None,
    typer.Option("--queue", help="`orders` or the name of a service. Default: all queues."),
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids as shown by `list`.")]
All = Annotated[bool, typer.Option("--all", help="All dead letters.")]


@dead_app.command("list")
def list_letters(queue: QueueName = None) -> None:
    """List dead letters with id, order of an event, number of tries, time and reason."""
    table = Table("queue", "id", "order", "tries", "died", "reason")
    count = 0
    for dead, letters in _on_each(queue, peek):
        for letter in letters:
            count += 1
            table.add_row(
                dead.name,
                letter.message_id,
                _order_of_event(letter.body),
                str(letter.headers.get(ATTEMPTS, 1)),
                _time_of_death(letter),
                str(letter.headers.get(REASON, "")),
            )
    if count:
        Console().print(table)
    print(f"{count} dead letters")


@dead_app.command()
def show(letter_id: Annotated[str, typer.Argument(metavar="ID")], queue: QueueName = None) -> None:
    """Show a dead letter: its headers and its body."""
    found = False
    for dead, letters in _on_each(queue, peek):
        for letter in letters:
            if letter.message_id == letter_id:
                found = True
                print(f"queue: {dead.queue}")
                for name, value in sorted(letter.headers.items()):
                    print(f"{name}: {value}")
                print(_as_text(letter.body))
    if not found:
        fail(f"there is no dead letter {letter_id}")


@dead_app.command(name="replay")
def replay_letters(ids: Ids = None, every: All = False, queue: QueueName = None) -> None:
    """Put dead letters back in their queues. Safe to repeat: nothing is done twice."""
    _settle(replay, "replayed", ids, every, queue)


@dead_app.command(name="drop")
def drop_letters(ids: Ids = None, every: All = False, queue: QueueName = None) -> None:
    """Remove dead letters for good."""
    _settle(drop, "dropped", ids, every, queue)


def _settle(
    settle: Callable[[Broker, DeadQueue, Collection[str] | None], Coroutine[Any, Any, int]],
    done: str,
    ids: list[str] | None,
    every: bool,
    queue: str | None,
) -> None:
    if bool(ids) == every:
        fail("give the ids of dead letters, or --all")
    wanted = None if every else set(ids or ())
    counts = _on_each(queue, lambda broker, dead: settle(broker, dead, wanted))
    count = sum(count for _, count in counts)
    if not count and not every:
        fail("there are no such dead letters")
    print(f"{done} {count} dead letters")


def _on_each(
    name: str | None, ask: Callable[[Broker, DeadQueue], Coroutine[Any, Any, T]]
) -> list[tuple[DeadQueue, T]]:
    """Return the result of `ask` for every dead queue, or for the one of that name."""
    from services.installed import chosen_services
    from services.queues import dead_queue, services_topology, work_queue

    settings = settings_or_fail()
    answers: list[tuple[DeadQueue, T]] = []
    try:
        require_shared_broker(settings, "dead")
        services = chosen_services(settings.services)
    except SettingsError as error:
        fail(str(error))
    topology = topology_of(settings)
    prefix = settings.broker_prefix
    queues = [DeadQueue("orders", topology.dead_orders, topology.orders, "order")]
    queues += [
        DeadQueue(s.name, dead_queue(prefix, s), "", work_queue(prefix, s)) for s in services
    ]
    if name is not None:
        queues = [dead for dead in queues if name in (dead.name, dead.queue)]
        if not queues:
            names = ", ".join(("orders", *(s.name for s in services)))
            fail(f"there is no queue {name}; it is one of {names}")
    topology += services_topology(prefix, topology.events, settings.queue_type, services)

    async def ask_each(_: asyncio.Event) -> None:
        async with open_broker(
            settings.broker_url, topology, settings.publish_timeout_seconds
        ) as broker:
            for dead in queues:
                answers.append((dead, await ask(broker, dead)))

    run(ask_each)
    return answers


def _as_text(body: bytes) -> str:
    """Return an order or an event as JSON, any other body as a bytes literal."""
    try:
        return msgspec.json.format(msgspec.json.encode(msgspec.to_builtins(_fields(body)))).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return repr(body)


def _fields(body: bytes) -> object:
    try:
        order = decode_order(body)
    except MessageError:
        return msgspec.json.decode(body)
    return {name: getattr(order, name) for name in order.__struct_fields__}


def _order_of_event(body: bytes) -> str:
    """Return the order id of an event, or an empty string for an order."""
    try:
        return decode_event(body).order_id
    except MessageError:
        return ""


def _time_of_death(letter: Delivery) -> str:
    died_at = letter.headers.get(DIED_AT)
    if not isinstance(died_at, int):
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(died_at))
