"""The arguments and options that the commands of `flashsale webhook` share."""

import time
from typing import Annotated

import typer

from flashsale.domain.durations import parse_duration
from flashsale.domain.moments import parse_moment
from flashsale.domain.webhooks.event_types import KNOWN
from flashsale.runtime.process import fail

EndpointId = Annotated[str, typer.Argument(metavar="ID", help="An id as shown by `list`.")]
Events = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        metavar="TYPE",
        help=f"A type of events, {', '.join(KNOWN)} or such as order.*; may be given several"
        " times. Default: all.",
    ),
]
Description = Annotated[str | None, typer.Option(help="What it is for, in your words.")]
Reason = Annotated[str | None, typer.Option(help="Why, for the audit.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="The most lines.")]


def seconds_or_fail(duration: str) -> float:
    """Return the seconds of a duration such as `90s`. A wrong one ends the process."""
    try:
        return parse_duration(duration)
    except ValueError as error:
        fail(str(error))


def moment_or_fail(text: str) -> float:
    """Return the Unix time of a moment, or of so long ago. A wrong one ends the process."""
    try:
        return time.time() - parse_duration(text)
    except ValueError:
        pass
    try:
        return parse_moment(text).timestamp()
    except ValueError as error:
        fail(f"{error}, and not how long ago, such as 2h")
