"""`flashsale webhook ...`: manage endpoints from the command line, audited, each secret once."""

import json
import subprocess
import time
from typing import Any

import pytest

from flashsale.domain.moments import moment_at, parse_moment
from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from flashsale.messages.standard_webhooks import parse_secret
from tests.conftest import an_order, draining
from tests.processes import run

URL = "https://shop.example/hooks"

pytestmark = pytest.mark.usefixtures("_migrated")


@pytest.fixture
def _migrated(database_url: str) -> None:
    assert run(["flashsale", "migrate"], {"FLASHSALE_DATABASE_URL": database_url}).returncode == 0


def webhook(url: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return run(["flashsale", "webhook", *arguments], {"FLASHSALE_DATABASE_URL": url} | settings)


def shown(url: str, *arguments: str) -> Any:
    """The JSON of a command."""
    result = webhook(url, *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def refused(url: str, *arguments: str) -> str:
    """The one line of a command that is refused."""
    result = webhook(url, *arguments)
    assert result.returncode == 1, result.stdout
    [line] = result.stderr.splitlines()
    return line


async def test_an_endpoint_from_add_to_remove_with_every_step_audited(database_url: str) -> None:
    url = database_url
    added = shown(url, "add", URL, "--event", "order.confirmed", "--description", "the shop")
    endpoint_id = added["id"]
    assert (added["url"], added["event_types"]) == (URL, ["order.confirmed"])
    assert len(parse_secret(added["secret"])) >= 24
    [listed] = shown(url, "list")
    assert listed == shown(url, "show", endpoint_id)
    assert (listed["pending"], listed["dead"], listed["enabled"]) == (0, 0, True)
    changed = shown(url, "change", endpoint_id, "--url", f"{URL}/2", "--event", "order.*")
    assert (changed["url"], changed["description"]) == (f"{URL}/2", "the shop")
    assert changed["event_types"] == ["order.*"]
    bare = shown(url, "change", endpoint_id, "--remove-description")
    assert (bare["description"], bare["url"]) == (None, f"{URL}/2")
    rotated = shown(url, "rotate", endpoint_id, "--overlap", "90s")
    assert rotated["secret"] != added["secret"]
    until = parse_moment(rotated["previous_secret_until"]).timestamp()
    assert 0 < until - time.time() <= 120
    disabled = shown(url, "disable", endpoint_id, "--reason", "they asked")
    assert (disabled["enabled"], disabled["disabled_reason"]) == (False, "they asked")
    assert shown(url, "enable", endpoint_id)["disabled_reason"] is None
    sent = shown(url, "test", endpoint_id, "--wait", "0")
    [waiting] = shown(url, "deliveries", endpoint_id)
    assert (waiting["webhook_id"], sent["attempt"]) == (sent["webhook_id"], None)
    assert shown(url, "attempts", endpoint_id) == []
    assert shown(url, "remove", endpoint_id) == {"removed": endpoint_id}
    assert shown(url, "list") == []
    async with open_ledger(url) as ledger:
        entries = await ledger.audit_log.entries(100)
    assert [entry.action for entry in reversed(entries)] == [
        f"webhook.{done}"
        for done in ("create", "change", "change", "rotate", "disable", "enable", "test", "delete")
    ]
    assert {entry.who.partition(":")[0] for entry in entries} == {"cli"}
    assert {entry.target for entry in entries} == {endpoint_id}
    assert "whsec_" not in repr(entries)


async def test_what_people_read_has_the_secret_once(database_url: str) -> None:
    printed = webhook(database_url, "add", URL).stdout
    [secret] = [line for line in printed.splitlines() if line.startswith("secret: ")]
    parse_secret(secret.removeprefix("secret: "))
    [listed] = shown(database_url, "list")
    for command in ("show", "deliveries", "attempts", "disable", "enable"):
        result = webhook(database_url, command, listed["id"])
        assert result.returncode == 0, result.stderr
        assert "whsec_" not in result.stdout
    table = webhook(database_url, "list").stdout
    assert listed["id"] in table
    assert URL in table
    assert "whsec_" not in table


async def test_a_replay_sends_the_orders_of_a_time_again(database_url: str) -> None:
    begin = time.time()
    async with open_ledger(database_url) as ledger:
        await ledger.create_sale(Sale("tv", 10))
        async with draining(ledger) as sink:
            await sink.sell([an_order(), an_order()], time.time())
    endpoint_id = shown(database_url, "add", URL)["id"]
    nothing = {"deliveries": 0, "without_event": 0}
    before = moment_at(begin).isoformat()
    assert shown(database_url, "replay", endpoint_id, "--since", "2h", "--until", before) == nothing
    done = shown(database_url, "replay", endpoint_id, "--since", before)
    assert done == {"deliveries": 2, "without_event": 0}
    assert shown(database_url, "show", endpoint_id)["pending"] == 2
    assert shown(database_url, "replay", endpoint_id, "--since", "2h") == nothing  # they wait


async def test_a_wrong_command_is_refused_in_one_line(database_url: str) -> None:
    url = database_url
    nobody = "0" * 32
    endpoint_id = shown(url, "add", URL)["id"]
    for wrong, said in (
        (["add", "http://shop.example/"], "https://"),
        (["add", "https://127.0.0.1/"], "FLASHSALE_WEBHOOK_ALLOW_PRIVATE"),
        (["add", "https://me:secret@shop.example/"], "no user or password"),
        (["add", URL, "--event", "order.eaten"], "'order.eaten' selects nothing"),
        (["change", endpoint_id], "nothing to change"),
        (["change", endpoint_id, "--url", "https://10.0.0.1/"], "not public"),
        (["change", endpoint_id, "--description", "x", "--remove-description"], "--description"),
        (["rotate", endpoint_id, "--overlap", "long"], "is not a duration"),
        (["rotate", endpoint_id, "--overlap", "1000h"], "overlap_seconds"),
        (["replay", endpoint_id, "--since", "yesterday"], "is not a time"),
        (["replay", endpoint_id, "--since", "1h", "--until", "2h"], "until"),
        (["test", endpoint_id, "--wait", "0.1s"], "does `flashsale services webhook` run?"),
        *(([command, nobody], nobody) for command in ("show", "enable", "remove", "deliveries")),
    ):
        assert said in refused(url, *wrong), wrong
    assert shown(url, "show", endpoint_id)["version"] == 1


async def test_a_private_address_is_taken_where_the_setting_allows_it(database_url: str) -> None:
    allowed = {"FLASHSALE_WEBHOOK_ALLOW_PRIVATE": "true"}
    result = webhook(database_url, "add", "http://127.0.0.1:8000/", "--json", **allowed)
    assert json.loads(result.stdout)["url"] == "http://127.0.0.1:8000/"
