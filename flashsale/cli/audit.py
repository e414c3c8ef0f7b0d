"""`flashsale audit`: who changed what, when and why."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from flashsale.cli.ledger_command import with_ledger
from flashsale.domain.audit_entries import AuditEntry
from flashsale.domain.moments import moment_at, write_moment

_PIPE_COLUMNS = 220


def audit(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The most entries.")] = 50,
    before: Annotated[
        int | None, typer.Option(help="Only entries older than the one with this id.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print an entry a line, as JSON.")
    ] = False,
) -> None:
    """List what operators changed, the newest first."""
    entries = with_ledger(lambda ledger: ledger.audit_log.entries(limit, before))
    if as_json:
        for entry in entries:
            print(msgspec.json.encode(vars(entry) | {"at": _moment(entry)}).decode())
        return
    table = Table("id", "when", "who", "what", "of", "change", "why")
    for entry in entries:
        table.add_row(
            str(entry.id),
            _moment(entry).replace("T", " "),
            entry.who,
            entry.action,
            entry.target,
            _changes(entry.before, entry.after),
            entry.reason or "",
        )
    Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(table)


def _moment(entry: AuditEntry) -> str:
    return write_moment(moment_at(entry.at))


def _changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    """Return what differs, such as `rate: none -> 500`; the version always does."""
    old, new = before or {}, after or {}
    return ", ".join(
        f"{name}: {_text(old.get(name))} -> {_text(new.get(name))}"
        for name in dict.fromkeys((*old, *new))
        if name != "version" and old.get(name) != new.get(name)
    )


def _text(value: object) -> str:
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
