"""`flashsale webhook enable | disable | rotate | test | replay`: what is done to an endpoint."""

import asyncio
import time
from typing import Annotated

import typer

from flashsale.cli.json_output import AsJson, moment_or_none, print_json
from flashsale.cli.ledger_command import with_ledger
from flashsale.cli.operator import author
from flashsale.cli.webhook.options import EndpointId, Reason, moment_or_fail, seconds_or_fail
from flashsale.cli.webhook.output import attempt_fields, print_endpoint, print_secret
from flashsale.domain.webhooks.deliveries import AttemptEntry, AttemptResult, Replayed
from flashsale.domain.webhooks.endpoint_changes import END_OF_TIME
from flashsale.ledger import Ledger, WebhookBoard
from flashsale.runtime.process import fail

_LOOK_EVERY_SECONDS = 0.2
_LATEST_ATTEMPTS = 100
_MOMENT = "such as 2026-11-27T09:00:00+01:00 (RFC 3339), or how long ago, such as 2h."


def add_actions(app: typer.Typer) -> None:
    """Add these commands to `flashsale webhook`."""
    app.command("enable")(enable_endpoint)
    app.command("disable")(disable_endpoint)
    app.command("rotate")(rotate_secret)
    app.command("test")(send_test)
    app.command("replay")(replay_events)


def enable_endpoint(
    endpoint_id: EndpointId, reason: Reason = None, as_json: AsJson = False
) -> None:
    """Send to an endpoint again. What happened while it was disabled is sent by `replay` only."""
    endpoint = with_ledger(
        lambda ledger: ledger.webhooks.enable_endpoint(endpoint_id, author(reason))
    )
    print_endpoint(endpoint, as_json, "enabled")


def disable_endpoint(
    endpoint_id: EndpointId, reason: Reason = None, as_json: AsJson = False
) -> None:
    """Send nothing more to an endpoint. What waits is kept."""
    endpoint = with_ledger(
        lambda ledger: ledger.webhooks.disable_endpoint(endpoint_id, author(reason))
    )
    print_endpoint(endpoint, as_json, "disabled")


def rotate_secret(
    endpoint_id: EndpointId,
    overlap: Annotated[
        str,
        typer.Option(metavar="TIME", help="How long the secret before signs as well."),
    ] = "24h",
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Give an endpoint a new secret, and print it, this one time."""
    seconds = seconds_or_fail(overlap)
    issued = with_ledger(
        lambda ledger: ledger.webhooks.rotate_secret(endpoint_id, author(reason), seconds)
    )
    print_secret(issued, as_json, "rotated")
    if not as_json:
        until = moment_or_none(issued.endpoint.previous_secret_until)
        print(f"The secret before {f'signs until {until}' if until else 'has ended'}.")


def send_test(
    endpoint_id: EndpointId,
    wait: Annotated[
        str, typer.Option(metavar="TIME", help="How long to wait for the attempt; 0: not at all.")
    ] = "20s",
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Send a test event to an endpoint, and print what came of it."""
    seconds = seconds_or_fail(wait)

    async def ask(ledger: Ledger) -> tuple[str, AttemptEntry | None]:
        webhook_id = await ledger.webhooks.send_test(endpoint_id, author(reason))
        return webhook_id, await _attempt_of(ledger.webhooks, endpoint_id, webhook_id, seconds)

    webhook_id, attempt = with_ledger(ask)
    if as_json:
        fields = None if attempt is None else attempt_fields(attempt)
        print_json({"webhook_id": webhook_id, "attempt": fields})
    elif attempt is not None:
        answer = "no answer" if attempt.status is None else f"answer {attempt.status}"
        print(f"{webhook_id}: {attempt.result}, {answer}, {attempt.milliseconds} ms")
    else:
        print(f"{webhook_id}: will be sent")
    if attempt is None and seconds:
        fail(f"no attempt within {wait}: does `flashsale services webhook` run?")
    if attempt is not None and attempt.result is not AttemptResult.DELIVERED:
        fail(f"the test event was not taken: {attempt.error}")


async def _attempt_of(
    board: WebhookBoard, endpoint_id: str, webhook_id: str, seconds: float
) -> AttemptEntry | None:
    """Return the attempt to send this event; None if there is none within so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        for entry in await board.attempts(endpoint_id, _LATEST_ATTEMPTS):
            if entry.webhook_id == webhook_id:
                return entry
        if time.monotonic() >= deadline:
            return None
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def replay_events(
    endpoint_id: EndpointId,
    since: Annotated[str, typer.Option(metavar="TIME", help=f"The first moment, {_MOMENT}")],
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help=f"The moment after the last, {_MOMENT}")
    ] = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Send again what an endpoint subscribes to, of orders that were decided in this time.

    Each event has the webhook id that it had before, so that a receiver knows those it has.
    """
    begin = moment_or_fail(since)
    end = END_OF_TIME if until is None else moment_or_fail(until)

    async def replay_all(ledger: Ledger) -> Replayed:
        done, more_from = Replayed(0, 0, None), begin
        while True:
            part = await ledger.webhooks.replay(endpoint_id, more_from, end, author(reason))
            done = Replayed(
                done.deliveries + part.deliveries, done.without_event + part.without_event, None
            )
            if part.more_from is None:
                return done
            more_from = part.more_from

    done = with_ledger(replay_all)
    if as_json:
        print_json({"deliveries": done.deliveries, "without_event": done.without_event})
        return
    print(f"{done.deliveries} events will be sent again")
    if done.without_event:
        print(f"{done.without_event} orders are left out, as their events are not known any more")
