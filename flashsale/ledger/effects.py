"""What a handler wants changed for one event, and how far the services of an order have come."""

from dataclasses import dataclass

Value = str | int | float | None


class Effects:
    """Collects what a handler wants changed in the database for one event.

    All of it is written in one transaction, once, or nothing is.
    """

    def __init__(self, event_id: str, order_id: str) -> None:
        """Collect for the event of that id, which tells of that order."""
        self.event_id = event_id
        self.order_id = order_id
        self.statements: list[tuple[str, dict[str, Value]]] = []

    def run(self, statement: str, **values: Value) -> None:
        """Have this SQL run in the transaction that marks the event as done.

        Its `:name`s are bound to `values`. Transactions hold many events at once, in any order;
        the same statement with other values is cheap.
        """
        self.statements.append((statement, values))


@dataclass(frozen=True)
class Journey:
    """An order's way from its 202 to its last service, and how many were done. Unix seconds."""

    order_id: str
    accepted_at: float
    decided_at: float
    done_at: float
    services: int
