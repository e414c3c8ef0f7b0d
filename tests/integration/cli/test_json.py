"""`--json`: whatever a command shows, a program can read."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from flashsale.cli.main import app
from tests.database import execute
from tests.processes import run

WITHOUT = {"run", "gateway", "consumer", "services", "migrate", "asyncapi"}
"""Commands that run until they are stopped, tell only that they have done, or print JSON only."""


@pytest.fixture
def url(sqlite_url: str) -> str:
    """A database with a sale of five tvs."""
    flashsale(sqlite_url, "migrate")
    flashsale(sqlite_url, "sale", "create", "tv", "--stock", "5")
    return sqlite_url


def flashsale(url: str, *arguments: str, status: int = 0) -> str:
    result = run(["flashsale", *arguments], {"FLASHSALE_DATABASE_URL": url})
    assert result.returncode == status, result.stderr
    return result.stdout


def commands(group: Any, *names: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, *names, name)
        else:
            found[" ".join((*names, name))] = command
    return found


def test_every_command_that_shows_something_has_json() -> None:
    without = {
        name
        for name, command in commands(get_command(app)).items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == WITHOUT


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["sale", "list"], lambda it: it[0]["sku"] == "tv"),
        (["sale", "show", "tv"], lambda it: it["stock"] == 5),
        (["drain", "show"], lambda it: it["paused"] is False),
        (["drain", "pause", "--for", "90s"], lambda it: it["paused_until"].endswith("Z")),
        (["intake", "show"], lambda it: it["intake_paused"] is False),
        (["audit"], lambda it: it["action"] == "sale.create"),
        (["check"], lambda it: it["balanced"] is True and it["sales"] == 1),
        (["settings"], lambda it: it[0]["variable"] == "FLASHSALE_BROKER_URL"),
        (["topology"], lambda it: it["queues"][0]["arguments"]["x-max-length"] == 2000),
    ],
)
def test_what_a_command_shows_is_json(url: str, arguments: list[str], shown: Any) -> None:
    assert shown(json.loads(flashsale(url, *arguments, "--json")))


async def test_books_that_do_not_balance_are_json_and_an_error(url: str, tmp_path: Path) -> None:
    await execute(url, "UPDATE sales SET sold = 1")
    found = json.loads(flashsale(url, "check", "--json", status=1))
    assert found["balanced"] is False
    assert found["broken"]["books"]
    file = tmp_path / "books.json"
    assert "wrong: " in flashsale(url, "check", "--json", str(file), status=1)
    assert json.loads(file.read_text()) == found


def test_json_and_a_diagram_are_not_asked_for_at_once(url: str) -> None:
    flashsale(url, "topology", "--json", "--mermaid", status=1)
