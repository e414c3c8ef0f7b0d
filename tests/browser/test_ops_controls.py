"""The controls of the operator's page in a real browser, with mouse and keyboard."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from loadtest.servers import free_port
from tests.browser.shops import SCREENSHOTS, SECONDS, Shop
from tests.processes import process

TOKENS = {"operator": "the token of operators", "viewer": "the token of viewers"}
OpenPage = Callable[..., Page]


@dataclass
class OpsShop(Shop):
    """A shop on the embedded stack that sells ten tvs and ten phones."""

    database: Path = Path()

    def write(self, statement: str) -> None:
        """Change its database behind its back."""
        with closing(sqlite3.connect(self.database, timeout=10)) as connection, connection:
            connection.execute(statement)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[OpsShop]:
    database, port = tmp_path / "sale.db", free_port()
    environment = {
        "FLASHSALE_DATABASE_URL": f"sqlite+aiosqlite:///{database}",
        "FLASHSALE_GATEWAY_PORT": str(port),
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
        "FLASHSALE_ADMIN_TOKEN": TOKENS["operator"],
        "FLASHSALE_VIEWER_TOKEN": TOKENS["viewer"],
        "FLASHSALE_DRAIN_RATE": "50",
    }
    shop = OpsShop(f"http://127.0.0.1:{port}", environment, database)
    with process(["flashsale", "run"], tmp_path / "run.log", environment) as running:
        running.await_url(f"{shop.url}/readyz")
        for sku in ("tv", "phone"):
            create = ["flashsale", "sale", "create", sku, "--stock", "10"]
            with process(create, tmp_path / f"{sku}.log", environment) as creating:
                assert creating.wait() == 0
        yield shop


@pytest.fixture
def open_page(
    browser: Browser, shop: OpsShop, request: pytest.FixtureRequest
) -> Iterator[OpenPage]:
    """Open the page as an operator or a viewer; it must break no rule of its own policy."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def opened(role: str = "operator") -> Page:
        credentials = {"username": role, "password": TOKENS[role]}
        context = browser.new_context(http_credentials=credentials)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.goto(f"{shop.url}/ops")
        expect(page.locator("#state")).to_have_text("Live", timeout=20 * SECONDS)
        return page

    yield opened
    SCREENSHOTS.mkdir(exist_ok=True)
    for number, context in enumerate(contexts):
        name = f"{request.node.name}-{number}.png"
        context.pages[0].screenshot(path=SCREENSHOTS / name, full_page=True)
        context.close()
    # Chromium reports each answer that is an error, such as a 412.
    assert [e for e in errors if "the server responded with" not in e] == []


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name)


def result(page: Page) -> Locator:
    return page.locator("#result")


def test_an_operator_pauses_and_resumes_the_drain_by_keyboard(
    open_page: OpenPage, shop: OpsShop
) -> None:
    page = open_page()
    pause = button(page, "Pause the drain")
    expect(pause).to_be_enabled()
    pause.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Pause the drain")
    expect(dialog).to_be_visible()
    for words in ("stops after the batch in hand", "up to 2,000", "Nothing is lost"):
        expect(dialog).to_contain_text(words)
    expect(dialog.get_by_label("For how many minutes")).to_be_focused()
    # Escape changes nothing, and the focus goes back.
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(pause).to_be_focused()
    expect(page.locator("#drain-state")).to_contain_text("Running at up to 50 orders/s")

    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(dialog.get_by_label("Why")).to_be_focused()
    page.keyboard.type("slow disk")
    page.keyboard.press("Enter")
    expect(result(page)).to_have_text("The drain is paused.")
    expect(page.locator("#drain-state")).to_contain_text("Paused (slow disk)")
    expect(button(page, "Resume the drain")).to_be_focused()
    expect(page.locator("#eta")).to_have_text("paused", timeout=10 * SECONDS)
    assert shop.order("me") == 202
    expect(page.locator("#drain-state")).to_contain_text("1 order waiting", timeout=10 * SECONDS)
    sold = page.get_by_role("row", name=re.compile("^tv")).get_by_role("cell").nth(2)
    expect(sold).to_have_text("0")

    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(result(page)).to_have_text("The drain is running.")
    expect(sold).to_have_text("1", timeout=10 * SECONDS)
    audit = page.locator("#audit").get_by_role("row").filter(has_text="drain.change")
    expect(audit).to_have_count(2)
    expect(audit.nth(1)).to_contain_text("paused: false → true")
    expect(audit.nth(1)).to_contain_text("slow disk")


def test_an_operator_changes_the_rate_for_ten_minutes(open_page: OpenPage) -> None:
    page = open_page()
    button(page, "Change the rate").click()
    dialog = page.get_by_role("dialog", name="Change the rate of the drain")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("Orders a second")
    expect(dialog.get_by_label("Orders a second")).to_be_focused()
    page.keyboard.type("20")
    dialog.get_by_label("For how many minutes").fill("10")
    expect(dialog).to_contain_text("no second has more than 20 orders, for 10 min")
    page.screenshot(path=SCREENSHOTS / "ops-dialog.png")
    dialog.get_by_role("button", name="Change the rate").click()
    expect(result(page)).to_have_text("The rate is 20 orders/s.")
    expect(page.locator("#drain-state")).to_contain_text("20 orders/s, by an operator until")
    expect(page.locator("#decided")).to_have_text("0/s of 20", timeout=10 * SECONDS)
    button(page, "Back to the rate of the settings").click()
    page.keyboard.press("Enter")
    expect(page.locator("#drain-state")).to_contain_text("50 orders/s, the rate of the settings")
    # What was pressed is gone, so that the heading has the focus.
    expect(page.get_by_role("heading", name="Drain", exact=True)).to_be_focused()


def test_an_operator_pauses_the_intake_with_a_notice(open_page: OpenPage, shop: OpsShop) -> None:
    page = open_page()
    button(page, "Pause the intake").click()
    page.get_by_label("Notice to shoppers").fill("Back at noon")
    page.keyboard.press("Enter")
    expect(page.locator("#intake-state")).to_contain_text("Shoppers are told: “Back at noon”")
    assert shop.order("me") == 503
    button(page, "Resume the intake").click()
    page.keyboard.press("Enter")
    expect(page.locator("#intake-state")).to_have_text("Taking orders.")
    assert shop.order("me") == 202


def test_an_operator_adds_stock_closes_and_opens_a_sale(open_page: OpenPage, shop: OpsShop) -> None:
    for number in range(10):
        assert shop.order(f"c-{number}") == 202
    page = open_page()
    expect(page.locator("canvas")).to_have_count(5)  # two of them for the two sales
    tv = page.get_by_role("row", name=re.compile("^tv"))
    expect(tv).to_contain_text("sold out", timeout=10 * SECONDS)
    button(page, "Add stock: tv").click()
    page.get_by_label("Items to add").fill("5")
    expect(page.get_by_role("dialog")).to_contain_text("The stock becomes 15, of which 5 are left")
    page.keyboard.press("Enter")
    expect(result(page)).to_have_text("The stock of tv is 15.")
    expect(tv).to_contain_text("open")
    assert shop.order("one more") == 202
    button(page, "Add stock: tv").click()
    page.get_by_label("Items to add").fill("-15")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("sold")
    page.keyboard.press("Escape")
    button(page, "Close: tv").click()
    page.keyboard.press("Enter")
    expect(tv).to_contain_text("closed")
    assert shop.order("late") == 409
    button(page, "Open: tv").click()
    page.keyboard.press("Enter")
    expect(tv).to_contain_text("open")
    assert shop.order("late") == 202


def test_an_operator_replays_a_dead_letter(open_page: OpenPage, shop: OpsShop) -> None:
    shop.write(
        "CREATE TRIGGER broken BEFORE INSERT ON orders WHEN new.status != 'failed'"
        " BEGIN SELECT RAISE(ABORT, 'disk on fire'); END"
    )
    assert shop.order("me") == 202
    page = open_page()
    letter = page.locator("#dead").get_by_role("row")
    expect(letter).to_contain_text("disk on fire", timeout=30 * SECONDS)
    letter.get_by_text("body").click()
    expect(letter).to_contain_text('"customer_id": "me"')
    shop.write("DROP TRIGGER broken")
    button(page, "Replay: ").click()
    expect(page.get_by_role("dialog")).to_contain_text("What was done before is not done twice")
    page.get_by_label("Why").fill("the disk is back")
    page.keyboard.press("Enter")
    expect(result(page)).to_have_text("1 letter replayed.")
    expect(page.locator("#dead-state")).to_have_text("There are none.")
    expect(page.get_by_role("heading", name="Dead letters")).to_be_focused()
    expect(page.locator("#audit")).to_contain_text("dead.replay")
    expect(page.locator("#audit")).to_contain_text("the disk is back")
    sold = page.get_by_role("row", name=re.compile("^tv")).get_by_role("cell").nth(2)
    expect(sold).to_have_text("1", timeout=10 * SECONDS)


def test_an_operator_who_is_late_is_told_to_look_again(open_page: OpenPage) -> None:
    late, other = open_page(), open_page()
    button(late, "Pause the drain").click()
    button(other, "Change the rate").click()
    other.get_by_label("Orders a second").fill("10")
    other.keyboard.press("Enter")
    expect(result(other)).to_have_text("The rate is 10 orders/s.")
    late.keyboard.press("Enter")
    expect(late.get_by_role("alert")).to_have_text("Somebody else has changed it: look again.")
    expect(button(late, "Close and look again")).to_be_focused()
    late.keyboard.press("Enter")
    expect(late.get_by_role("dialog")).to_be_hidden()
    expect(late.locator("#drain-state")).to_contain_text("Running at up to 10 orders/s")


def test_a_viewer_sees_everything_and_no_button_that_changes(
    open_page: OpenPage, shop: OpsShop
) -> None:
    shop.write(
        "CREATE TRIGGER broken BEFORE INSERT ON orders WHEN new.status != 'failed'"
        " BEGIN SELECT RAISE(ABORT, 'disk on fire'); END"
    )
    assert shop.order("me") == 202
    page = open_page("viewer")
    expect(page.get_by_text("You look with the token of a viewer")).to_be_visible()
    expect(page.locator("#drain-state")).to_contain_text("Running")
    expect(page.locator("#intake-state")).to_have_text("Taking orders.")
    expect(page.locator("#dead")).to_contain_text("disk on fire", timeout=30 * SECONDS)
    expect(page.locator("#audit-state")).to_have_text(re.compile("^$|Nobody has changed"))
    expect(page.get_by_role("row", name=re.compile("^tv"))).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)


def test_an_operator_opens_a_sale_that_the_shop_has_sold_out(
    open_page: OpenPage, shop: OpsShop
) -> None:
    shop.write("UPDATE sales SET stock = NULL, sold_out = true WHERE sku = 'tv'")
    page = open_page()
    tv = page.get_by_role("row", name=re.compile("^tv"))
    expect(tv).to_contain_text("sold out")
    expect(tv).to_contain_text("the shop's")
    expect(tv.get_by_role("button", name="Add stock")).to_be_hidden()
    expect(tv.get_by_role("button", name="Close")).to_be_visible()
    tv.get_by_role("button", name="Open").click()
    expect(page.get_by_role("dialog")).to_contain_text("The stock is the shop's.")
    page.keyboard.press("Enter")
    expect(result(page)).to_have_text("tv is open.")
    expect(tv.get_by_role("button", name="Open")).to_be_hidden()
