"""`flashsale advise`: four questions, and the queue that fits, with its figures and settings."""

import sys
from typing import Annotated, Any, Literal, get_args

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from flashsale.advice.documented import DOCUMENTED
from flashsale.advice.figures import COLUMNS, row
from flashsale.advice.rule import Advice, Have, Loss, Need, Situation, advise
from flashsale.cli.json_output import AsJson, print_json
from flashsale.runtime.process import fail

YesOrNo = Literal["yes", "no"]


def advise_on_queue(
    loss: Annotated[
        Loss | None,
        typer.Option(help="Orders that a power cut may lose: none, or those of the last second."),
    ] = None,
    have: Annotated[
        Have | None,
        typer.Option(
            help="What you run already: `cloud` if you are in a cloud and want to run nothing."
        ),
    ] = None,
    protect: Annotated[
        YesOrNo | None,
        typer.Option(help="Whether the spike would overload the database."),
    ] = None,
    need: Annotated[
        Need | None, typer.Option(help="What matters besides a queue with a bound.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell which queue fits your situation: the choice, its measured figures, the settings.

    Asks four questions, or takes the answers as options. docs/choosing-a-broker.md has all figures
    and how they were measured.
    """
    answers = {"--loss": loss, "--have": have, "--protect": protect, "--need": need}
    missing = [flag for flag, answer in answers.items() if answer is None]
    if missing and (as_json or not sys.stdin.isatty()):
        fail(f"advise needs answers: give {', '.join(missing)}")
    advice = advise(
        Situation(
            loss or _ask("What may a power cut lose: nothing, or a second's orders?", Loss),
            have or _ask("What do you run already?", Have),
            (protect or _ask("Would the spike overload your database?", YesOrNo)) == "yes",
            need or _ask("What matters besides a queue with a bound?", Need),
        )
    )
    if as_json:
        print_json(_as_object(advice))
    else:
        _print(advice)


def _ask(question: str, answers: Any) -> Any:
    """Ask until the answer is one of a `Literal`; the first one is the default."""
    allowed = get_args(answers)
    named = ", ".join(allowed)
    while (answer := typer.prompt(f"{question} ({named})", default=allowed[0])) not in allowed:
        print(f"please answer one of: {named}")
    return answer


def _as_object(advice: Advice) -> dict[str, Any]:
    documented = DOCUMENTED.get(advice.choice.name)
    return {
        "choice": advice.choice.name,
        "title": advice.title,
        "reason": advice.reason,
        "figures": None if advice.measured is None else msgspec.to_builtins(advice.measured),
        "source": None if documented is None else documented.source,
        "runs_on_it": advice.choice.runs_here,
        "how": advice.choice.how,
        "settings": dict(advice.choice.settings),
    }


def _print(advice: Advice) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{advice.title}[/bold]")
    console.print(f"\n{advice.reason}\n")
    if advice.measured is not None:
        table = Table("figure", "measured", title_justify="left")
        table.title = f"{advice.measured.date}, {advice.measured.machine}"
        for name, value in list(zip(COLUMNS, row(advice.measured), strict=True))[1:]:
            table.add_row(name, value)
        console.print(table)
    else:
        found = DOCUMENTED[advice.choice.name]
        console.print(f"From its documentation, not measured: {found.limits}.\n{found.source}")
    console.print(f"\n{advice.choice.how}\n")
    for name, value in advice.choice.settings.items():
        print(f"{name}={value}")
