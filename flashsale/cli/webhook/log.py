"""`flashsale webhook attempts | deliveries`: what was sent to an endpoint, and what waits."""

from typing import Annotated

import typer

from flashsale.cli.json_output import AsJson, print_json
from flashsale.cli.ledger_command import with_ledger
from flashsale.cli.webhook.options import EndpointId, Limit
from flashsale.cli.webhook.output import (
    attempt_fields,
    delivery_fields,
    print_attempts,
    print_deliveries,
)
from flashsale.domain.webhooks.deliveries import Delivery
from flashsale.ledger import Ledger


def add_log(app: typer.Typer) -> None:
    """Add these commands to `flashsale webhook`."""
    app.command("attempts")(list_attempts)
    app.command("deliveries")(list_deliveries)


def list_attempts(
    endpoint_id: EndpointId,
    limit: Limit = 50,
    before: Annotated[
        int | None, typer.Option(help="Only attempts older than the one with this id.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the attempts to send to an endpoint, the newest first."""
    found = with_ledger(lambda ledger: ledger.webhooks.attempts(endpoint_id, limit, before))
    if as_json:
        print_json([attempt_fields(entry) for entry in found])
    else:
        print_attempts(found)


def list_deliveries(
    endpoint_id: EndpointId,
    limit: Limit = 50,
    after: Annotated[
        int | None, typer.Option(help="Only deliveries younger than the one with this id.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what waits for an endpoint and what was given up, the oldest first."""

    async def ask(ledger: Ledger) -> list[Delivery]:
        await ledger.webhooks.find_endpoint(endpoint_id)
        return await ledger.webhooks.deliveries(endpoint_id, limit, after)

    found = with_ledger(ask)
    if as_json:
        print_json([delivery_fields(delivery) for delivery in found])
    else:
        print_deliveries(found)
