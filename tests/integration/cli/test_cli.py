"""The command line, as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flashsale import __version__
from flashsale.runtime.settings_table import settings_table
from loadtest.processes import own_environment
from loadtest.servers import free_port
from tests.database import execute
from tests.processes import process, run

SETTINGS_PAGE = Path(__file__).parents[3] / "docs/settings.md"


def flashsale(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    changed = {f"FLASHSALE_{name.upper()}": value for name, value in settings.items()}
    return run(["flashsale", *arguments], changed)


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that an expected failure prints."""
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("flashsale: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


def test_version_and_help() -> None:
    assert flashsale("--version").stdout == f"flashsale {__version__}\n"
    text = flashsale("--help").stdout
    for command in (
        *("demo", "run", "gateway", "consumer", "services", "migrate"),
        *("sale", "dead", "check", "settings", "topology", "advise", "asyncapi", "webhook"),
    ):
        assert command in text


async def test_migrate_makes_the_tables_of_the_installed_services(sqlite_url: str) -> None:
    flashsale("migrate", database_url=sqlite_url)
    await execute(sqlite_url, "DROP TABLE loyalty")
    flashsale("migrate", database_url=sqlite_url)
    await execute(sqlite_url, "INSERT INTO loyalty VALUES ('ann', 10)")


def test_a_sale_from_create_to_check(sqlite_url: str) -> None:
    settings = {"database_url": sqlite_url}
    assert "revision" in flashsale("migrate", **settings).stdout
    options = ["--stock", "5", "--customer-limit", "1", "--closes-at", "2100-01-01T00:00:00Z"]
    assert flashsale("sale", "create", "tv-55", *options, **settings).returncode == 0
    assert "tv-55" in flashsale("sale", "list", **settings).stdout
    assert "2100" in flashsale("sale", "show", "tv-55", **settings).stdout
    assert "the books balance" in flashsale("check", **settings).stdout
    again = flashsale("sale", "create", "tv-55", "--stock", "5", **settings)
    assert "there is a sale of tv-55 already" in one_line(again)
    assert "no sale of radio" in one_line(flashsale("sale", "show", "radio", **settings))
    assert "letters" in one_line(flashsale("sale", "create", "a b", "--stock", "5", **settings))


def test_books_that_do_not_balance_are_named_and_exit_1(sqlite_url: str) -> None:
    import sqlite3

    flashsale("migrate", database_url=sqlite_url)
    flashsale("sale", "create", "tv", "--stock", "5", database_url=sqlite_url)
    with sqlite3.connect(sqlite_url.removeprefix("sqlite+aiosqlite:///")) as connection:
        connection.execute("UPDATE sales SET sold = 1")
    connection.close()
    result = flashsale("check", database_url=sqlite_url)
    assert "sale tv: 1 counted as sold, 0 items" in result.stdout
    assert "do not balance" in one_line(result)


@pytest.mark.parametrize("command", ["gateway", "consumer"])
def test_a_process_that_shares_a_broker_refuses_an_embedded_one(command: str) -> None:
    assert "memory://" in one_line(flashsale(command))
    module = subprocess.run(
        [sys.executable, "-m", command],
        capture_output=True,
        text=True,
        env=own_environment(),
        timeout=60,
        check=False,
    )
    assert "memory://" in one_line(module)


def test_run_refuses_several_gateway_workers() -> None:
    assert "FLASHSALE_GATEWAY_WORKERS=2" in one_line(flashsale("run", gateway_workers="2"))


@pytest.mark.parametrize("command", ["gateway", "consumer"])
def test_a_missing_broker_or_database_is_one_line_that_says_what_to_do(
    command: str, rabbit_url: str, postgres_url: str
) -> None:
    nowhere = free_port()
    ports = {"metrics_port": "0", "gateway_port": "0"}
    wrong = flashsale(command, broker_url="amqp://x", drain_rate="fast", **ports)
    assert "FLASHSALE_DRAIN_RATE=fast" in one_line(wrong)
    database = f"postgresql+asyncpg://x@127.0.0.1:{nowhere}/x"
    unreachable = flashsale(command, broker_url=rabbit_url, database_url=database, **ports)
    assert "FLASHSALE_DATABASE_URL" in one_line(unreachable)
    empty = flashsale(command, broker_url=rabbit_url, database_url=postgres_url, **ports)
    assert "flashsale migrate" in one_line(empty)
    flashsale("migrate", database_url=postgres_url)
    broker = f"amqp://guest:guest@127.0.0.1:{nowhere}/"
    silent = flashsale(command, broker_url=broker, database_url=postgres_url, **ports)
    assert "FLASHSALE_BROKER_URL" in one_line(silent)


def test_a_taken_port_is_one_line(sqlite_url: str, tmp_path: Path) -> None:
    port = free_port()
    settings = {"FLASHSALE_DATABASE_URL": sqlite_url, "FLASHSALE_METRICS_PORT": "0"}
    with process(
        ["flashsale", "run"], tmp_path / "log", settings | {"FLASHSALE_GATEWAY_PORT": str(port)}
    ) as running:
        running.await_url(f"http://127.0.0.1:{port}/readyz")
        second = flashsale("run", database_url=sqlite_url, metrics_port="0", gateway_port=str(port))
        assert str(port) in one_line(second)
        assert running.stop() == 0


def test_a_misspelt_setting_is_warned_about(sqlite_url: str) -> None:
    result = flashsale("migrate", database_url=sqlite_url, drain_rates="5")
    assert "FLASHSALE_DRAIN_RATES" in result.stderr


def test_the_events_are_described_on_the_exchange_that_the_settings_name() -> None:
    document = json.loads(flashsale("asyncapi", broker_prefix="a.").stdout)
    exchanges = [
        channel["bindings"]["amqp"]["exchange"]["name"]
        for channel in document["channels"].values()
        if "amqp" in channel.get("bindings", {})
    ]
    assert exchanges == ["a.sale.events"]


def test_the_topology_is_printed_as_it_is_declared() -> None:
    printed = flashsale("topology", broker_prefix="a.", queue_max_length="70").stdout
    for name in ("a.sale.orders", "a.sale.orders.dead", "a.sale.events", "a.sale.outcomes"):
        assert name in printed
    for name in ("a.mail", "a.loyalty", "a.ranking.dead", "a.mail.retry.120s"):
        assert name in printed
    drawn = flashsale("topology", "--mermaid", queue_max_length="70").stdout
    assert '-- "order.rejected.#" -->' in drawn
    assert '-. "after 120 s" .->' in drawn
    assert drawn.startswith("flowchart LR\n")
    assert '[("sale.orders<br/>at most 70")]' in drawn
    assert 'x0 -- "order" --> q0' in drawn


def test_the_table_of_the_settings_page_is_the_generated_one() -> None:
    assert flashsale("settings").stdout == settings_table()
    page = SETTINGS_PAGE.read_text().splitlines(keepends=True)
    assert "".join(line for line in page if line.startswith("|")) == settings_table()


def test_the_demo_shows_a_sale_and_reports_it(tmp_path: Path) -> None:
    report, chart = tmp_path / "report.json", tmp_path / "chart.png"
    arguments = ["--seconds", "3", "--rate", "600", "--json", str(report), "--chart", str(chart)]
    result = flashsale("demo", *arguments, drain_rate="200", queue_max_length="200")
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads(report.read_text())
    assert {"oversold": 0, "lost": 0, "client_errors": 0, "broken": []}.items() <= figures.items()
    assert figures["stock"] == figures["sold"] == figures["confirmed"] == 360
    assert figures["drain_rate_max_1s"] <= figures["drain_rate_limit"] == 200
    assert figures["refused"]["queue-full"] > 0
    assert figures["refused"]["sold-out"] > 0
    assert figures["offered"] == figures["accepted"] + sum(figures["refused"].values())
    assert set(figures["accept_ms"]) == {"p50", "p95", "p99"}
    assert set(figures["services_ms"]) == {"loyalty", "mail", "ranking", "webhook"}
    assert figures["effects_missing"] == 0
    for name, milliseconds in figures["after_sale_ms"].items():
        assert milliseconds < figures["one_after_the_other_ms"][name]
    assert "Every promise was kept." in result.stdout
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_the_demo_with_holds_tells_what_became_of_them(tmp_path: Path) -> None:
    report, chart = tmp_path / "report.json", tmp_path / "chart.png"
    arguments = ["--holds", "--seconds", "3", "--rate", "200", "--stock", "60"]
    files = ["--json", str(report), "--chart", str(chart)]
    # A hold ends after 40 s, grace included, and those who come late have theirs after that.
    result = run(["flashsale", "demo", *arguments, *files], timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads(report.read_text())
    assert {"oversold": 0, "lost": 0, "client_errors": 0, "broken": []}.items() <= figures.items()
    holds = figures["holds"]
    assert holds["paid"] == figures["confirmed"] == figures["sold"] <= 60
    # Some leave, and those in line have what they left.
    assert holds["held"] > holds["paid"] > holds["served"] > 0, result.stdout
    assert holds["expired"] > 0
    assert holds["waited"] >= 30
    assert "waited in line, served" in result.stdout
    assert "Every promise was kept." in result.stdout
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_holds_and_an_order_service_are_demos_of_their_own() -> None:
    assert "choose one" in one_line(flashsale("demo", "--holds", "--sink"))


def test_the_demo_at_a_shop_shows_it_alone_and_with_the_gateway_in_front(tmp_path: Path) -> None:
    report, picture = tmp_path / "report.json", tmp_path / "picture.png"
    # More than the stock is accepted, however slow the machine: 100 in the calm, and a full queue.
    arguments = ["--sink", "--seconds", "2", "--rate", "500", "--stock", "250"]
    files = ["--json", str(report), "--chart", str(picture)]
    result = flashsale("demo", *arguments, *files, drain_rate="200", queue_max_length="200")
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads(report.read_text())
    assert figures["broken"] == []
    assert figures["accepted"] == figures["decided"]
    assert figures["capacity"] == 200
    alone, through = figures["straight"], figures["through"]
    assert alone["offered"] == through["offered"] == 1300
    assert alone["reached_shop_max_1s"] > 200 >= through["reached_shop_max_1s"]
    assert alone["errors"] > 300
    assert through["errors"] == through["oversold"] == through["doubled"] == 0
    assert through["sold"] == through["stock"] == figures["confirmed"] == 250
    assert through["offered"] == figures["accepted"] + sum(through["refused"].values())
    assert "The gateway kept every promise." in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
