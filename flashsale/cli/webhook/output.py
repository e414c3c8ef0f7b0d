"""Print endpoints, deliveries and attempts: as tables for people, as JSON for programs.

The JSON has the fields of `/admin/webhooks`.
"""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from flashsale.cli.json_output import moment_or_none, print_json
from flashsale.domain.webhooks.deliveries import AttemptEntry, Delivery
from flashsale.domain.webhooks.endpoints import Backlog, Endpoint, IssuedSecret

_PIPE_COLUMNS = 220


def endpoint_fields(endpoint: Endpoint, backlogs: Iterable[Backlog] = ()) -> dict[str, Any]:
    """Return an endpoint for JSON, with what waits for it if that is given."""
    fields = _with_moments(
        asdict(endpoint),
        *("disabled_at", "created_at", "previous_secret_until", "failing_since", "paused_until"),
    )
    for waits in backlogs:
        if waits.endpoint_id == endpoint.id:
            fields |= {
                "pending": waits.pending,
                "dead": waits.dead,
                "oldest_pending_at": moment_or_none(waits.oldest),
            }
    return fields


def delivery_fields(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery for JSON."""
    return _with_moments(asdict(delivery), "occurred_at", "next_at", "dead_at")


def attempt_fields(entry: AttemptEntry) -> dict[str, Any]:
    """Return an attempt for JSON."""
    return _with_moments(asdict(entry), "at")


def print_secret(issued: IssuedSecret, as_json: bool, words: str) -> None:
    """Print an endpoint and its new secret."""
    if as_json:
        print_json(endpoint_fields(issued.endpoint) | {"secret": issued.secret})
        return
    print(f"{words} {issued.endpoint.id}: {issued.endpoint.url}")
    print(f"secret: {issued.secret}")
    print("Keep it now: it is not shown again.")


def print_endpoint(endpoint: Endpoint, as_json: bool, words: str) -> None:
    """Print an endpoint after a change."""
    if as_json:
        print_json(endpoint_fields(endpoint))
    else:
        print(f"{words} {endpoint.id}: {endpoint.url}")


def print_endpoints(found: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of endpoints."""
    rows = [
        (
            *(each["id"], each["url"], " ".join(each["event_types"]), _state(each)),
            *(each["pending"], each["dead"], each["oldest_pending_at"], each["description"]),
        )
        for each in found
    ]
    names = ("id", "url", "events", "state", "pending", "dead", "oldest", "description")
    _print_table(names, rows)


def print_deliveries(found: Sequence[Delivery]) -> None:
    """Print a table of deliveries that are pending or dead."""
    rows = [
        (
            *(each.id, each.event_id, each.type, moment_or_none(each.occurred_at)),
            *(each.attempts, _next(each), each.error),
        )
        for each in found
    ]
    names = ("id", "event", "type", "occurred", "failed", "next", "error")
    _print_table(names, rows)


def print_attempts(found: Sequence[AttemptEntry]) -> None:
    """Print a table of attempts."""
    rows = [
        (
            *(each.id, moment_or_none(each.at), each.event_id, each.type, each.attempt),
            *(each.result, each.status, each.milliseconds, each.error),
        )
        for each in found
    ]
    names = ("id", "at", "event", "type", "attempt", "result", "status", "ms", "error")
    _print_table(names, rows)


def _state(fields: Mapping[str, Any]) -> str:
    if not fields["enabled"]:
        return f"disabled: {fields['disabled_reason']}"
    if fields["failures"]:
        return f"failing since {fields['failing_since']}"
    return "enabled"


def _next(delivery: Delivery) -> str | None:
    if delivery.dead_at is not None:
        return "never: dead"
    return "now" if delivery.next_at <= time.time() else moment_or_none(delivery.next_at)


def _print_table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    # A reader of a pipe finds each value in one piece.
    Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(table, markup=False)


def _with_moments(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return fields | {name: moment_or_none(fields[name]) for name in names}
