"""`--json`: what a command shows, for programs."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer
from typer.core import TyperCommand

from flashsale.domain.moments import moment_at, write_moment

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

STANDARD_OUTPUT = "-"


class OptionalJsonFile(TyperCommand):
    """A command whose `--json` may have a file, and is standard output without one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, the file of `--json` put in where it is missing."""
        return super().parse_args(ctx, list(_with_file(args)))


def print_json(value: object) -> None:
    """Print a value as JSON. What JSON has no type for is written as text."""
    print(as_json(value).decode())


def as_json(value: object) -> bytes:
    """Return a value as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=str))


def moment_or_none(seconds: float | None) -> str | None:
    """Return Unix seconds as an RFC 3339 date-time."""
    return None if seconds is None else write_moment(moment_at(seconds))


def _with_file(args: Sequence[str]) -> list[str]:
    complete: list[str] = []
    for number, argument in enumerate(args):
        complete.append(argument)
        following = args[number + 1] if number + 1 < len(args) else "--"
        if argument == "--json" and following.startswith("--"):
            complete.append(STANDARD_OUTPUT)
    return complete
