"""`flashsale sale change | open | close | stock | delete`: a sale is changed while it runs."""

import getpass
import json
import os
import subprocess
from typing import Any

import pytest

from flashsale.cli import operator
from flashsale.ledger import open_ledger
from tests.database import execute
from tests.processes import run

pytestmark = pytest.mark.usefixtures("_offered")


@pytest.fixture
def _offered(sqlite_url: str) -> None:
    """A sale of five tvs."""
    flashsale(sqlite_url, "migrate")
    assert sale(sqlite_url, "create", "tv", "--stock", "5").returncode == 0


def flashsale(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(["flashsale", *arguments], {"FLASHSALE_DATABASE_URL": url})


def sale(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return flashsale(url, "sale", *arguments)


def changed(url: str, *arguments: str) -> Any:
    """The sale after a change."""
    result = sale(url, *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def refused(url: str, *arguments: str) -> str:
    """The one line of a change that is refused."""
    result = sale(url, *arguments)
    assert result.returncode == 1, result.stdout
    [line] = result.stderr.splitlines()
    return line


async def test_each_change_is_made_and_audited_with_its_user_and_reason(sqlite_url: str) -> None:
    url = sqlite_url
    assert changed(url, "stock", "tv", "+500", "--reason", "found")["stock"] == 505
    assert changed(url, "stock", "tv", "-20")["stock"] == 485
    assert changed(url, "stock", "tv", "15")["stock"] == 500
    assert changed(url, "close", "tv")["state"] == "closed"
    assert changed(url, "open", "tv")["state"] == "open"
    terms = changed(
        url,
        *("change", "tv", "--title", "A TV", "--price", "499.00", "--currency", "EUR"),
        *("--picture-url", "/tv.png", "--customer-limit", "2"),
        *("--closes-at", "2126-11-27T09:00:00", "--timezone", "Europe/Berlin"),
    )
    assert terms["closes_at"] == "2126-11-27T08:00:00Z"
    assert (terms["title"], terms["price"], terms["customer_limit"]) == ("A TV", "499.00", 2)
    assert terms["version"] == 7
    less = changed(url, "change", "tv", "--remove", "closes-at", "--remove", "customer-limit")
    assert less["closes_at"] is less["customer_limit"] is None
    assert less["title"] == "A TV"
    assert json.loads(sale(url, "show", "tv", "--json").stdout) == less
    assert json.loads(sale(url, "list", "--json").stdout) == [less]
    assert "499.00 EUR" in sale(url, "show", "tv").stdout
    assert json.loads(sale(url, "delete", "tv", "--json").stdout) == {"deleted": "tv"}
    async with open_ledger(url) as ledger:
        entries = await ledger.audit_log.entries(100)
    assert {entry.who for entry in entries} == {f"cli:{getpass.getuser()}"}
    assert [(entry.action, entry.reason) for entry in reversed(entries)] == [
        ("sale.create", None),
        ("sale.stock", "found"),
        ("sale.stock", None),
        ("sale.stock", None),
        ("sale.close", None),
        ("sale.open", None),
        ("sale.change", None),
        ("sale.change", None),
        ("sale.delete", None),
    ]


def test_a_change_is_told_in_words(sqlite_url: str) -> None:
    assert sale(sqlite_url, "stock", "tv", "+5").stdout == "the stock of tv is 10, 10 are left\n"
    assert sale(sqlite_url, "close", "tv").stdout == "the sale of tv is closed\n"
    assert sale(sqlite_url, "open", "tv").stdout == "the sale of tv is open\n"
    told = sale(sqlite_url, "change", "tv", "--opens-at", "2126-01-01T00:00:00Z").stdout
    assert "opens 2126-01-01T00:00:00Z, in " in told
    assert sale(sqlite_url, "delete", "tv").stdout == "deleted the sale of tv\n"


def test_a_new_sale_has_what_shoppers_see(sqlite_url: str) -> None:
    options = "--title", "A radio", "--price", "19.90", "--currency", "EUR"
    created = changed(sqlite_url, "create", "radio", "--stock", "1", *options)
    assert (created["title"], created["price"], created["version"]) == ("A radio", "19.90", 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stock", "radio", "+5"], "there is no sale of radio"),
        (["delete", "radio"], "there is no sale of radio"),
        (["stock", "tv", "0"], "add: must not be 0"),
        (["stock", "tv", "-6"], "at most 5 can be taken away"),
        (["stock", "tv", "+2147483647"], "at most 2147483647"),
        (["change", "tv"], "nothing to change"),
        (["change", "tv", "--opens-at", "2020-01-01T00:00:00Z"], "open the sale now instead"),
        (["change", "tv", "--closes-at", "2020-01-01T00:00:00Z"], "close the sale now instead"),
        (["change", "tv", "--closes-at", "soon"], "--closes-at 'soon' is not a time"),
        (["change", "tv", "--price", "cheap"], "price: must be a decimal number"),
        (["change", "tv", "--title", "x", "--remove", "title"], "--title: give a value or"),
        (["create", "radio", "--stock", "1", "--currency", "euro"], "currency: must be three"),
        (["close", "tv", "--reason", "x" * 501], "reason: must have at most 500"),
    ],
)
def test_a_wrong_change_is_refused_in_one_line(
    sqlite_url: str, arguments: list[str], words: str
) -> None:
    assert words in refused(sqlite_url, *arguments)
    assert json.loads(sale(sqlite_url, "show", "tv", "--json").stdout)["version"] == 1


@pytest.mark.parametrize("arguments", [["tv"], ["tv", "many"], ["tv", "-x"], ["tv", "1.5"]])
def test_a_stock_that_is_no_number_is_refused_with_the_usage(
    sqlite_url: str, arguments: list[str]
) -> None:
    assert sale(sqlite_url, "stock", *arguments).returncode == 2


async def test_a_sale_that_has_sold_stays(sqlite_url: str) -> None:
    await execute(sqlite_url, "UPDATE sales SET sold = 1")
    assert "1 items of tv are sold" in refused(sqlite_url, "delete", "tv")


def test_a_user_without_a_name_is_told_by_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", nameless)
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    assert operator.author("why").who == "cli:uid 1234"


def of_shop(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command about sales where there is an order service."""
    sink = {
        "FLASHSALE_SINK_URL": "https://shop.example/orders",
        "FLASHSALE_SINK_SECRET": f"whsec_{'A' * 32}",
    }
    return run(["flashsale", "sale", *arguments], {"FLASHSALE_DATABASE_URL": url, **sink})


async def test_a_sale_of_the_shops_stock_is_created_shown_and_opened_again(sqlite_url: str) -> None:
    created = of_shop(sqlite_url, "create", "radio", "--no-stock")
    assert created.stdout == "created the sale of radio, the stock is the shop's\n"
    shown = json.loads(sale(sqlite_url, "show", "radio", "--json").stdout)
    assert (shown["stock"], shown["remaining"], shown["state"]) == (None, None, "open")
    assert "the shop's" in sale(sqlite_url, "list").stdout
    await execute(sqlite_url, "UPDATE sales SET sold_out = true WHERE sku = 'radio'")
    listed = json.loads(sale(sqlite_url, "list", "--json").stdout)
    assert [(s["sku"], s["state"]) for s in listed] == [("radio", "sold_out"), ("tv", "open")]
    assert changed(sqlite_url, "open", "radio")["state"] == "open"
    assert "the stock of this sale is the shop's" in refused(sqlite_url, "stock", "radio", "+5")


def test_a_sale_has_a_stock_or_an_order_service(sqlite_url: str) -> None:
    without = refused(sqlite_url, "create", "radio", "--no-stock")
    assert "FLASHSALE_SINK_URL" in without
    for options in ([], ["--no-stock", "--stock", "5"]):
        assert refused(sqlite_url, "create", "radio", *options) == (
            "flashsale: give either --stock or --no-stock"
        )


def test_a_sale_whose_orders_are_delivered_gets_no_holds(sqlite_url: str) -> None:
    for options in (["create", "radio", "--stock", "5"], ["change", "tv"]):
        refused = of_shop(sqlite_url, *options, "--hold-seconds", "60")
        [line] = refused.stderr.splitlines()
        assert (refused.returncode, line) == (
            1,
            "flashsale: hold_seconds: orders go to an order service (FLASHSALE_SINK_URL), which"
            " takes no held ones",
        )


@pytest.mark.parametrize("seconds", ["0", "-1", str(365 * 86_400), "10m"])
def test_a_hold_has_a_second_to_a_day(sqlite_url: str, seconds: str) -> None:
    for options in (["create", "radio", "--stock", "5"], ["change", "tv"]):
        refused = sale(sqlite_url, *options, f"--hold-seconds={seconds}")
        assert (refused.returncode, "--hold-seconds" in refused.stderr) == (2, True)


def test_the_holds_of_a_sale_are_created_changed_and_shown(sqlite_url: str) -> None:
    holds = ["--hold-seconds", "600", "--waitlist", "500", "--cancellable", "--extendable"]
    created = changed(sqlite_url, "create", "radio", "--stock", "5", *holds)
    names = ("hold_seconds", "waitlist", "cancellable", "extendable", "held", "waiting")
    assert [created[name] for name in names] == [600, 500, True, True, 0, 0]
    again = changed(
        *(sqlite_url, "change", "radio", "--hold-seconds", "60"),
        *("--not-cancellable", "--not-extendable", "--remove", "waitlist"),
    )
    assert [again[name] for name in names] == [60, None, False, False, 0, 0]
    assert "0 of 0" in sale(sqlite_url, "list").stdout
    refused = sale(sqlite_url, "create", "phone", "--stock", "5", "--hold-seconds", "0")
    assert refused.returncode != 0
    without = sale(sqlite_url, "create", "phone", "--stock", "5", "--waitlist", "5")
    assert (without.returncode, "needs hold_seconds" in without.stderr) == (1, True)
