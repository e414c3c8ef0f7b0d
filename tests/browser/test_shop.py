"""The shopper's page in a real browser, on the embedded stack and on the real one."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.servers import free_port
from tests.conftest import unique
from tests.database import execute
from tests.processes import process

SCREENSHOTS = Path(__file__).parent / "screenshots"
PHONE: ViewportSize = {"width": 390, "height": 844}
SECONDS = 1000


@dataclass
class Shop:
    url: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def execute(self, statement: str) -> None:
        """Run a statement on its database."""
        _elsewhere(execute(self.environment["FLASHSALE_DATABASE_URL"], statement))

    def order(self, customer: str) -> int:
        """Order as somebody else; the status."""
        request = urllib.request.Request(
            f"{self.url}/orders",
            json.dumps({"sku": "tv", "customer_id": customer}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code


StartShop = Callable[..., Shop]


@pytest.fixture(params=["embedded", "real"])
def start_shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartShop]:
    """Start a shop that sells `stock` tvs, with these settings."""
    with ExitStack() as stack:

        def start(stock: int = 10, **settings: str) -> Shop:
            real = request.param == "real"
            url = str(request.getfixturevalue("postgres_url" if real else "sqlite_url"))
            _elsewhere(_a_sale(url, stock))
            port = free_port()
            environment = {
                "FLASHSALE_DATABASE_URL": url,
                "FLASHSALE_GATEWAY_PORT": str(port),
                "FLASHSALE_METRICS_PORT": "0",
                "FLASHSALE_SHUTDOWN_SECONDS": "0",
                **{f"FLASHSALE_{name.upper()}": value for name, value in settings.items()},
            }
            if real:
                environment["FLASHSALE_BROKER_URL"] = request.getfixturevalue("rabbit_url")
                environment["FLASHSALE_BROKER_PREFIX"] = f"{unique('b')}."
            for name in ("gateway", "consumer") if real else ("run",):
                started = stack.enter_context(
                    process(["flashsale", name], tmp_path / f"{name}.log", environment)
                )
                if name != "consumer":
                    started.await_url(f"http://127.0.0.1:{port}/readyz")
            return Shop(f"http://127.0.0.1:{port}", environment)

        yield start


def _elsewhere(work: Coroutine[None, None, None]) -> None:
    """Run it in another thread, as Playwright runs a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


async def _a_sale(url: str, stock: int) -> None:
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", stock))


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A phone's page; it must have no script error, and break no rule of its own policy."""
    context = browser.new_context(viewport=PHONE, reduced_motion="reduce")
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on(
        "console",
        # A 503 is an answer like others, which Chromium reports as an error.
        lambda message: (
            errors.append(message.text)
            if message.type == "error" and "the server responded with" not in message.text
            else None
        ),
    )
    yield opened
    SCREENSHOTS.mkdir(exist_ok=True)
    opened.screenshot(path=SCREENSHOTS / f"{request.node.name}.png", full_page=True)
    context.close()
    assert [error for error in errors if "ERR_FAILED" not in error] == []


def buy(page: Page, shop: Shop) -> None:
    page.goto(shop.url)
    page.get_by_label("Your e-mail or name").fill("me@example.org")
    page.get_by_role("button", name="Buy one").click()


def headline(page: Page) -> str:
    return page.locator("#headline").inner_text()


def test_a_shopper_buys_with_the_keyboard(page: Page, start_shop: StartShop) -> None:
    shop = start_shop(stock=10)
    page.goto(shop.url)
    expect(page.get_by_role("heading", name="tv")).to_be_visible()
    expect(page.get_by_text("10 of 10 left")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Your e-mail or name")).to_be_focused()
    page.keyboard.type("me@example.org")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="It is yours!")).to_be_visible(timeout=20 * SECONDS)
    expect(page.get_by_role("heading", name="It is yours!")).to_be_focused()
    expect(page.get_by_text("9 of 10 left")).to_be_visible()
    # It stays so, and another order can be made.
    page.reload()
    expect(page.get_by_role("heading", name="It is yours!")).to_be_visible()
    page.get_by_role("button", name="Order again").click()
    expect(page.get_by_label("Your e-mail or name")).to_have_value("me@example.org")


def test_a_shopper_is_told_that_everything_is_sold(page: Page, start_shop: StartShop) -> None:
    shop = start_shop(stock=1)
    page.goto(shop.url)
    expect(page.get_by_role("button", name="Buy one")).to_be_enabled()
    assert shop.order("first") == 202
    expect(page.get_by_text("Sold out.")).to_be_visible(timeout=20 * SECONDS)
    expect(page.get_by_role("button", name="Buy one")).to_be_disabled()


def test_a_shopper_in_line_hears_that_the_last_item_is_gone(
    page: Page, start_shop: StartShop
) -> None:
    shop = start_shop(stock=1, drain_rate="1")
    for number in range(4):
        assert shop.order(f"c-{number}") == 202
    buy(page, shop)
    expect(page.get_by_role("heading", name="Sold out")).to_be_visible(timeout=20 * SECONDS)
    expect(page.get_by_text("before it was your turn")).to_be_visible()


def test_a_full_queue_is_tried_again_by_itself(page: Page, start_shop: StartShop) -> None:
    shop = start_shop(stock=100, drain_rate="2", queue_max_length="1")
    number = 0
    while shop.order(f"c-{number}") == 202:
        number += 1
    buy(page, shop)
    expect(page.get_by_text("Many people are ordering right now.")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "queue-full.png")
    expect(page.get_by_role("heading", name="It is yours!")).to_be_visible(timeout=40 * SECONDS)


def await_place(page: Page, place: str) -> None:
    """Wait until the page shows that place, if only for a second: `expect` looks once a second."""
    seen: list[str] = []
    deadline = time.monotonic() + 20
    while (shown := page.locator("#place").inner_text()) != place:
        seen.append(shown)
        assert time.monotonic() < deadline, set(seen)
        page.wait_for_timeout(20)


def test_a_reload_keeps_the_place_in_line(page: Page, start_shop: StartShop) -> None:
    shop = start_shop(stock=100, drain_rate="1")
    for number in range(6):
        assert shop.order(f"c-{number}") == 202
    buy(page, shop)
    expect(page.get_by_role("heading", name="You are in line")).to_be_visible()
    await_place(page, "#4")
    page.screenshot(path=SCREENSHOTS / "in-line.png")
    page.reload()
    expect(page.get_by_role("heading", name="You are in line")).to_be_visible()
    await_place(page, "#2")
    expect(page.get_by_role("heading", name="It is yours!")).to_be_visible(timeout=20 * SECONDS)
    assert headline(page) == "It is yours!"


def test_the_page_polls_without_event_streams(page: Page, start_shop: StartShop) -> None:
    shop = start_shop(stock=100, drain_rate="1")
    for number in range(3):
        assert shop.order(f"c-{number}") == 202

    def refuse(route: Route) -> None:
        route.fulfill(status=503, body="no streams here")

    page.route("**/events", refuse)
    buy(page, shop)
    expect(page.get_by_role("heading", name="It is yours!")).to_be_visible(timeout=30 * SECONDS)
    expect(page.get_by_text("96 of 100 left")).to_be_visible(timeout=10 * SECONDS)


def test_an_order_whose_answer_was_lost_is_followed_though_a_retry_is_refused(
    page: Page, start_shop: StartShop
) -> None:
    shop = start_shop(stock=100, drain_rate="1")
    for number in range(3):
        assert shop.order(f"c-{number}") == 202
    taken: list[str] = []

    def lose_the_answer(route: Route) -> None:
        """The order is taken; of the retry a gateway that has not heard of it says sold out."""
        if not taken:
            taken.append(route.fetch().json()["order_id"])
            route.abort()
            return
        problem = {"type": "/problems/sold-out", "title": "Sold out", "order_id": taken[0]}
        route.fulfill(status=409, body=json.dumps(problem))

    def know_nothing(route: Route) -> None:
        route.fulfill(status=404, body="{}")

    page.route("**/orders", lose_the_answer)
    page.route("**/orders/*", know_nothing)
    buy(page, shop)
    expect(page.get_by_role("heading", name="Sold out")).to_be_visible(timeout=20 * SECONDS)
    expect(page.get_by_text("still checking whether an earlier attempt")).to_be_visible()
    page.reload()
    expect(page.get_by_text("still checking whether an earlier attempt")).to_be_visible()
    page.unroute("**/orders/*")
    expect(page.get_by_role("heading", name="It is yours!")).to_be_visible(timeout=30 * SECONDS)
    assert taken[0][:8] in page.locator("#detail").inner_text()


@pytest.mark.parametrize("start_shop", ["real"], indirect=True)
def test_an_order_that_failed_and_was_replayed_is_told_to_be_confirmed(
    page: Page, start_shop: StartShop, tmp_path: Path
) -> None:
    shop = start_shop(stock=10)
    shop.execute("ALTER TABLE orders ADD CONSTRAINT broken CHECK (status = 'failed')")
    buy(page, shop)
    expect(page.get_by_role("heading", name="Something went wrong")).to_be_visible(
        timeout=20 * SECONDS
    )
    page.reload()
    expect(page.get_by_role("heading", name="Something went wrong")).to_be_visible()
    shop.execute("ALTER TABLE orders DROP CONSTRAINT broken")
    replay = ["flashsale", "dead", "replay", "--all"]
    with process(replay, tmp_path / "replay.log", shop.environment) as replaying:
        assert replaying.wait() == 0, replaying.output
    expect(page.get_by_role("heading", name="It is yours!")).to_be_visible(timeout=30 * SECONDS)


def test_a_sale_has_a_title_a_price_and_a_picture_once_an_operator_gives_them(
    page: Page, start_shop: StartShop
) -> None:
    shop = start_shop(stock=10)
    page.goto(shop.url)
    expect(page.get_by_role("heading", name="tv")).to_be_visible()
    expect(page.locator("#price")).to_be_hidden()
    expect(page.locator("#picture")).to_be_hidden()
    shop.execute(
        "UPDATE sales SET title = 'A TV of 55 inches', price = '499.00', currency = 'EUR',"
        " picture_url = '/page/shop.svg'"
    )
    expect(page.get_by_role("heading", name="A TV of 55 inches")).to_be_visible()
    expect(page.get_by_text("499.00 EUR")).to_be_visible()
    expect(page.locator("#picture")).to_be_visible()
    assert page.title() == "A TV of 55 inches: flash sale"
