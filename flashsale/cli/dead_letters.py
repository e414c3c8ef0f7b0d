"""`flashsale dead ...`: list, show, replay and drop dead letters."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flashsale.broker import BrokerError, DeadQueue, Delivery, Topology, open_broker
from flashsale.broker.dead_letter_view import LetterView, letter_view
from flashsale.broker.dead_letters import peek
from flashsale.cli.json_output import AsJson, moment_or_none, print_json
from flashsale.cli.operator import author
from flashsale.domain.operators.refusals import require_text
from flashsale.ledger import LedgerError, open_ledger
from flashsale.runtime.dead_letters import Action, DeadLetters, Interrupted
from flashsale.runtime.process import (
    advice,
    expected_failures_in_one_line,
    fail,
    run,
    settings_or_fail,
)
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import installed_topology, require_shared_broker, topology_of

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
Reason = Annotated[str | None, typer.Option(help="Why, for the audit.")]


@dead_app.command("list")
def list_letters(queue: QueueName = None, as_json: AsJson = False) -> None:
    """List dead letters with id, order, number of tries, time and reason."""
    found = _peek(queue)
    views = [letter_view(dead, letter) for dead, letters in found for letter in letters]
    if as_json:
        queues = [{"queue": dead.name, "count": len(letters)} for dead, letters in found]
        print_json({"queues": queues, "letters": [_fields(view) for view in views]})
        return
    table = Table("queue", "id", "order", "tries", "died", "reason")
    for view in views:
        table.add_row(
            view.queue,
            view.id,
            view.order_id or "",
            str(view.tries),
            _time_of_death(view),
            view.reason,
        )
    if views:
        Console().print(table)
    print(f"{len(views)} dead letters")


@dead_app.command()
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID")],
    queue: QueueName = None,
    as_json: AsJson = False,
) -> None:
    """Show a dead letter: its headers and its body."""
    found = [
        (dead, letter)
        for dead, letters in _peek(queue)
        for letter in letters
        if letter.message_id == letter_id
    ]
    if not found:
        fail(f"there is no dead letter {letter_id}")
    for dead, letter in found:
        view = letter_view(dead, letter)
        if as_json:
            print_json(_fields(view) | {"headers": letter.headers})
            continue
        print(f"queue: {dead.queue}")
        for name, value in sorted(letter.headers.items()):
            print(f"{name}: {value}")
        print(view.body)


@dead_app.command(name="replay")
def replay_letters(
    ids: Ids = None,
    every: All = False,
    queue: QueueName = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Put dead letters back in their queues. Safe to repeat: nothing is done twice."""
    _settle("dead.replay", "replayed", ids, every, queue, reason, as_json)


@dead_app.command(name="drop")
def drop_letters(
    ids: Ids = None,
    every: All = False,
    queue: QueueName = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Remove dead letters for good."""
    _settle("dead.drop", "dropped", ids, every, queue, reason, as_json)


def _settle(
    action: Action,
    done: str,
    ids: list[str] | None,
    every: bool,
    queue: str | None,
    reason: str | None,
    as_json: bool,
) -> None:
    if bool(ids) == every:
        fail("give the ids of dead letters, or --all")
    with expected_failures_in_one_line():
        require_text("reason", reason)
    settings, topology = _settings_and_topology()
    queues = _chosen(topology, queue)
    settled: dict[str, Mapping[str, Any]] = {}
    troubles: list[Exception] = []

    async def settle_each(dead_letters: DeadLetters) -> None:
        for dead in queues:
            try:
                settled[dead.name] = await dead_letters.settle(
                    action, dead, None if every else set(ids or ()), author(reason)
                )
            except Interrupted as error:
                settled[dead.name] = error.settled
                cause = error.__cause__
                troubles.append(cause if isinstance(cause, BrokerError | LedgerError) else error)
            except (BrokerError, LedgerError) as error:
                troubles.append(error)
            if troubles and isinstance(troubles[-1], LedgerError):
                return  # what follows would not be in the audit
        if troubles and not settled:
            raise troubles[0]

    run(lambda _: _with_dead_letters(settings, topology, settle_each))
    count = sum(after["count"] for after in settled.values())
    if not count and not every and not troubles:
        fail("there are no such dead letters")
    if as_json:
        changed = [{"queue": name, **after} for name, after in settled.items() if after["count"]]
        print_json({"count": count, "queues": changed})
    else:
        print(f"{done} {count} dead letters")
    if troubles:
        fail(f"not all of them: {advice(troubles[0])}")


async def _with_dead_letters(
    settings: Settings,
    topology: Topology,
    ask: Callable[[DeadLetters], Coroutine[Any, Any, None]],
) -> None:
    async with (
        open_ledger(settings.database_url, settings.database_schema) as ledger,
        open_broker(settings.broker_url, topology, settings.publish_timeout_seconds) as broker,
    ):
        await ledger.verify_schema()
        await ask(DeadLetters(broker, ledger.audit_log, topology))


def _peek(name: str | None) -> list[tuple[DeadQueue, Sequence[Delivery]]]:
    """Return the letters of every queue, or of the one of that name."""
    settings, topology = _settings_and_topology()
    queues = _chosen(topology, name)
    found: list[tuple[DeadQueue, Sequence[Delivery]]] = []

    async def peek_each(_: asyncio.Event) -> None:
        async with open_broker(
            settings.broker_url, topology, settings.publish_timeout_seconds
        ) as broker:
            for dead in queues:
                found.append((dead, await peek(broker, dead)))

    run(peek_each)
    return found


def _settings_and_topology() -> tuple[Settings, Topology]:
    settings = settings_or_fail()
    with expected_failures_in_one_line():
        require_shared_broker(settings, "dead")
        return settings, topology_of(settings) + installed_topology(settings)


def _chosen(topology: Topology, name: str | None) -> Sequence[DeadQueue]:
    if name is None:
        return topology.dead_queues
    queues = [dead for dead in topology.dead_queues if name in (dead.name, dead.queue)]
    if not queues:
        names = ", ".join(dead.name for dead in topology.dead_queues)
        fail(f"there is no queue {name}; it is one of {names}")
    return queues


def _fields(view: LetterView) -> dict[str, object]:
    """Return a letter with the fields of `GET /admin/dead`."""
    return vars(view) | {"died_at": moment_or_none(view.died_at)}


def _time_of_death(letter: LetterView) -> str:
    if letter.died_at is None:
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(letter.died_at))
