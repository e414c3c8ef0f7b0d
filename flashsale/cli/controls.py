"""`flashsale drain ...` and `flashsale intake ...`: change a sale that goes on."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from flashsale.cli.json_output import AsJson, moment_or_none, print_json
from flashsale.cli.ledger_command import with_ledger
from flashsale.cli.operator import author
from flashsale.domain.controls import Controls, DrainChange, IntakeChange
from flashsale.domain.durations import parse_duration
from flashsale.domain.moments import parse_moment
from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.runtime.process import fail, settings_or_fail
from flashsale.runtime.stack import topology_of

drain_app = typer.Typer(
    help="Show, pause and slow the drain. It obeys within a second.", no_args_is_help=True
)
intake_app = typer.Typer(
    help="Show and pause the intake. Gateways obey within a second.", no_args_is_help=True
)

For = Annotated[
    str | None, typer.Option("--for", help="How long, such as 90s, 10m or 1h30m.", metavar="TIME")
]
Until = Annotated[
    str | None,
    typer.Option(help="Until when, such as 2026-11-27T09:00:00+01:00 (RFC 3339).", metavar="TIME"),
]
Reason = Annotated[str | None, typer.Option(help="Why, for the audit.")]


@drain_app.command("show")
def show_drain(as_json: AsJson = False) -> None:
    """Show what is set."""
    _print_drain(_read(), as_json)


@drain_app.command()
def pause(
    duration: For = None, until: Until = None, reason: Reason = None, as_json: AsJson = False
) -> None:
    """Pause the drain: orders wait in the queue, and none goes to the database."""
    _change_drain(_with_end(duration, until, paused=True, reason=reason), reason, as_json)


@drain_app.command()
def resume(reason: Reason = None, as_json: AsJson = False) -> None:
    """End the pause."""
    _change_drain(DrainChange(paused=False, reason=reason), reason, as_json)


@drain_app.command()
def rate(
    rate: Annotated[
        str, typer.Argument(help="Orders a second, or `default` for that of the environment.")
    ],
    duration: For = None,
    until: Until = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Set the rate of the drain."""
    if rate == "default":
        change = _with_end(duration, until, own_rate=True, reason=reason)
    elif rate.isascii() and rate.isdigit():
        change = _with_end(duration, until, rate=int(rate), reason=reason)
    else:
        fail(f"rate {rate!r}: must be a number of orders a second, or `default`")
    _change_drain(change, reason, as_json)


@intake_app.command("show")
def show_intake(as_json: AsJson = False) -> None:
    """Show what is set."""
    _print_intake(_read(), as_json)


@intake_app.command("pause")
def pause_intake(
    notice: Annotated[str | None, typer.Option(help="What shoppers are told.")] = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Take no orders: they are refused with 503, and shoppers are told to come back."""
    _change_intake(IntakeChange(True, notice, reason), reason, as_json)


@intake_app.command("resume")
def resume_intake(reason: Reason = None, as_json: AsJson = False) -> None:
    """Take orders again."""
    _change_intake(IntakeChange(False, None, reason), reason, as_json)


def _with_end(
    duration: str | None,
    until: str | None,
    *,
    reason: str | None,
    paused: bool | None = None,
    rate: int | None = None,
    own_rate: bool = False,
) -> DrainChange:
    try:
        return DrainChange(
            paused,
            rate,
            own_rate,
            None if duration is None else parse_duration(duration),
            None if until is None else parse_moment(until).timestamp(),
            reason,
        )
    except ValueError as error:
        fail(str(error))


def _drain_name() -> str:
    return topology_of(settings_or_fail()).orders


def _read() -> Controls:
    name = _drain_name()
    return with_ledger(lambda ledger: ledger.controls.read(name))


def _change_drain(change: DrainChange, reason: str | None, as_json: bool) -> None:
    smallest = settings_or_fail().drain_batch or 1
    controls = _changed(
        "drain.change", lambda before, now: change.apply(before, now, smallest), reason
    )
    _print_drain(controls, as_json)


def _change_intake(change: IntakeChange, reason: str | None, as_json: bool) -> None:
    _print_intake(_changed("intake.change", change.apply, reason), as_json)


def _changed(
    action: str, change: Callable[[Controls, float], Controls], reason: str | None
) -> Controls:
    name = _drain_name()
    try:
        return with_ledger(
            lambda ledger: ledger.controls.change(name, action, change, author(reason))
        )
    except ChangeRefused as refused:
        fail(str(refused))


def _print_drain(controls: Controls, as_json: bool) -> None:
    if as_json:
        return print_json(_fields(controls))
    own = settings_or_fail().drain_rate
    paused = "paused" if controls.paused else "runs"
    rate = (
        f"{own} orders/s, as FLASHSALE_DRAIN_RATE says here"
        if controls.rate is None
        else f"{controls.rate} orders/s"
    )
    print(f"drain: {paused}{_end(controls.paused_until)}")
    print(f"rate: {rate}{_end(controls.rate_until)}")
    _print_rest(controls.drain_reason, controls.version)


def _print_intake(controls: Controls, as_json: bool) -> None:
    if as_json:
        return print_json(_fields(controls))
    print(f"intake: {'paused' if controls.intake_paused else 'open'}")
    if controls.notice is not None:
        print(f"notice: {controls.notice}")
    _print_rest(controls.intake_reason, controls.version)


def _print_rest(reason: str | None, version: int) -> None:
    if reason is not None:
        print(f"reason: {reason}")
    print(f"version: {version}")


def _fields(controls: Controls) -> dict[str, object]:
    ends = {
        name: moment_or_none(getattr(controls, name)) for name in ("paused_until", "rate_until")
    }
    return asdict(controls) | ends


def _end(moment: float | None) -> str:
    return "" if moment is None else f" until {moment_or_none(moment)}"
