"""`flashsale dead ...`: list, show, replay and drop dead letters."""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from flashsale.broker import Broker, DeadQueue, open_broker
from flashsale.broker.dead_letter_view import LetterView, letter_view
from flashsale.broker.dead_letters import Settled, drop, peek, replay
from flashsale.runtime.process import fail, run, settings_or_fail
from flashsale.runtime.settings import SettingsError
from flashsale.runtime.stack import installed_topology, require_shared_broker, topology_of

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
    """List dead letters with id, order, number of tries, time and reason."""
    table = Table("queue", "id", "order", "tries", "died", "reason")
    count = 0
    for dead, letters in _on_each(queue, peek):
        for letter in (letter_view(dead, letter) for letter in letters):
            count += 1
            table.add_row(
                letter.queue,
                letter.id,
                letter.order_id or "",
                str(letter.tries),
                _time_of_death(letter),
                letter.reason,
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
                print(letter_view(dead, letter).body)
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
    settle: Callable[[Broker, DeadQueue, Collection[str] | None], Coroutine[Any, Any, Settled]],
    done: str,
    ids: list[str] | None,
    every: bool,
    queue: str | None,
) -> None:
    if bool(ids) == every:
        fail("give the ids of dead letters, or --all")
    wanted = None if every else set(ids or ())
    answers = _on_each(queue, lambda broker, dead: settle(broker, dead, wanted))
    count = sum(len(settled.ids) for _, settled in answers)
    troubles = [settled.trouble for _, settled in answers if settled.trouble is not None]
    if not count and not every and not troubles:
        fail("there are no such dead letters")
    print(f"{done} {count} dead letters")
    if troubles:
        fail(f"not all of them: {troubles[0]}")


def _on_each(
    name: str | None, ask: Callable[[Broker, DeadQueue], Coroutine[Any, Any, T]]
) -> list[tuple[DeadQueue, T]]:
    """Return the result of `ask` for every dead queue, or for the one of that name."""
    settings = settings_or_fail()
    answers: list[tuple[DeadQueue, T]] = []
    try:
        require_shared_broker(settings, "dead")
        topology = topology_of(settings) + installed_topology(settings)
    except SettingsError as error:
        fail(str(error))
    queues = topology.dead_queues
    if name is not None:
        queues = tuple(dead for dead in queues if name in (dead.name, dead.queue))
        if not queues:
            names = ", ".join(dead.name for dead in topology.dead_queues)
            fail(f"there is no queue {name}; it is one of {names}")

    async def ask_each(_: asyncio.Event) -> None:
        async with open_broker(
            settings.broker_url, topology, settings.publish_timeout_seconds
        ) as broker:
            for dead in queues:
                answers.append((dead, await ask(broker, dead)))

    run(ask_each)
    return answers


def _time_of_death(letter: LetterView) -> str:
    if letter.died_at is None:
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(letter.died_at))
