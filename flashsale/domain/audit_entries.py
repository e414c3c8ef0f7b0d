"""The audit: who changed what, when and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AUTOMATIC = "automatic"
"""Who ends a change that had an end."""


@dataclass(frozen=True)
class Author:
    """Who asks for a change: the name of a token or of a user of the command line, and why."""

    who: str
    reason: str | None = None
    request_id: str | None = None
    idempotency_key: str | None = None
    """A repeated request with the same key is not applied again."""


PROGRAM = Author("program")
"""Who changes something without an operator: a benchmark, or a program of the shop."""


@dataclass(frozen=True)
class AuditEntry:
    """A change as the ledger keeps it. `at` is in Unix seconds, by the clock of the database."""

    id: int
    at: float
    who: str
    action: str
    """What was done, such as `drain.change` or `sale.stock`."""
    target: str
    """The drain, or the sku of the sale."""
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    reason: str | None
    request_id: str | None
