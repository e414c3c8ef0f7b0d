"""The effects of a handler for one event, and the progress of the services of an order."""

from dataclasses import dataclass

Value = str | int | float | None


class Effects:
    """Collects the statements of a handler for one event.

    All of them run in one transaction, once for each event, or none does.
    """

    def __init__(self, event_id: str, order_id: str, traceparent: str | None = None) -> None:
        """Collect the effects of an event and its order. `traceparent` is the trace it is in."""
        self.event_id = event_id
        self.order_id = order_id
        self.traceparent = traceparent
        self.statements: list[tuple[str, dict[str, Value]]] = []

    def run(self, statement: str, **values: Value) -> None:
        """Run this SQL in the transaction that marks the event as done.

        `values` are bound to its `:name` parameters. One transaction has the effects of many
        events, in any order. It is cheap to repeat a statement with other values.
        """
        self.statements.append((statement, values))


@dataclass(frozen=True)
class Journey:
    """The times of an order from its 202 to its last service, in Unix seconds.

    `services` counts the services that are done with it.
    """

    order_id: str
    accepted_at: float
    decided_at: float
    done_at: float
    services: int
