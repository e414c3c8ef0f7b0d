"""`flashsale webhook add | list | show | change | remove`: manage endpoints."""

from typing import Annotated

import typer
from msgspec import UNSET

from flashsale.cli.json_output import AsJson, print_json
from flashsale.cli.ledger_command import with_ledger
from flashsale.cli.operator import author
from flashsale.cli.webhook.actions import add_actions
from flashsale.cli.webhook.log import add_log
from flashsale.cli.webhook.options import Description, EndpointId, Events, Reason
from flashsale.cli.webhook.output import (
    endpoint_fields,
    print_endpoint,
    print_endpoints,
    print_secret,
)
from flashsale.domain.webhooks.addresses import require_url
from flashsale.domain.webhooks.endpoint_changes import EndpointChange
from flashsale.domain.webhooks.endpoints import Endpoint, EndpointTerms
from flashsale.domain.webhooks.event_types import EVERYTHING
from flashsale.ledger import Ledger
from flashsale.runtime.process import expected_failures_in_one_line, fail, settings_or_fail
from flashsale.runtime.setting_groups.webhooks import WebhookSettings
from flashsale.runtime.settings_reader import load

webhook_app = typer.Typer(
    help="Manage the endpoints of other programs that are told about events, signed by Standard"
    " Webhooks. The service `webhook` sends them.",
    no_args_is_help=True,
)


@webhook_app.command("add")
def add_endpoint(
    url: Annotated[str, typer.Argument(help="Where to send, such as https://shop.example/hooks.")],
    events: Events = None,
    description: Description = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Add an endpoint, and print its secret, this one time.

    It gets the events that are decided from now on.
    """
    allow_private = _allow_private()
    terms = EndpointTerms(url, tuple(events or (EVERYTHING,)), description)
    with expected_failures_in_one_line():
        require_url(url, allow_private=allow_private)
    issued = with_ledger(lambda ledger: ledger.webhooks.create_endpoint(terms, author(reason)))
    print_secret(issued, as_json, "added")


@webhook_app.command("list")
def list_endpoints(as_json: AsJson = False) -> None:
    """List the endpoints, and what waits for each."""

    async def ask(ledger: Ledger) -> list[dict[str, object]]:
        backlogs = await ledger.webhooks.backlogs()
        return [endpoint_fields(each, backlogs) for each in await ledger.webhooks.endpoints()]

    found = with_ledger(ask)
    if as_json:
        print_json(found)
    else:
        print_endpoints(found)


@webhook_app.command("show")
def show_endpoint(endpoint_id: EndpointId, as_json: AsJson = False) -> None:
    """Show an endpoint, and what waits for it."""

    async def ask(ledger: Ledger) -> dict[str, object]:
        endpoint = await ledger.webhooks.find_endpoint(endpoint_id)
        return endpoint_fields(endpoint, await ledger.webhooks.backlogs())

    fields = with_ledger(ask)
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        if value is not None:
            shown = " ".join(value) if isinstance(value, tuple) else value
            print(f"{name.replace('_', ' ')}: {shown}")


@webhook_app.command("change")
def change_endpoint(
    endpoint_id: EndpointId,
    url: Annotated[str | None, typer.Option(help="Where to send from now on.")] = None,
    events: Events = None,
    description: Description = None,
    remove_description: Annotated[
        bool, typer.Option("--remove-description", help="Remove the description.")
    ] = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Change where an endpoint is, or which events it gets. What waits goes to the new address."""
    if remove_description and description is not None:
        fail("--description: give a value or remove it")
    change = EndpointChange(
        UNSET if url is None else url,
        tuple(events) if events else UNSET,
        UNSET if description is None and not remove_description else description,
    )
    allow_private = _allow_private()

    async def apply(ledger: Ledger) -> Endpoint:
        before = await ledger.webhooks.find_endpoint(endpoint_id)
        terms = change.apply(before, allow_private=allow_private)
        return await ledger.webhooks.change_endpoint(
            endpoint_id, terms, author(reason), before.version
        )

    print_endpoint(with_ledger(apply), as_json, "changed")


@webhook_app.command("remove")
def remove_endpoint(
    endpoint_id: EndpointId, reason: Reason = None, as_json: AsJson = False
) -> None:
    """Remove an endpoint, and what waits for it."""
    with_ledger(lambda ledger: ledger.webhooks.delete_endpoint(endpoint_id, author(reason)))
    if as_json:
        print_json({"removed": endpoint_id})
    else:
        print(f"removed {endpoint_id}")


add_actions(webhook_app)
add_log(webhook_app)


def _allow_private() -> bool:
    settings_or_fail()
    return load(WebhookSettings).webhook_allow_private
