"""The shopper's page in a real browser, on the embedded stack and on the real one."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.shops import SCREENSHOTS, SECONDS, Shop, StartShop, buy, headline
from tests.processes import process


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


@contextmanager
def kept_full(shop: Shop) -> Iterator[None]:
    """Others order all the time: a browser takes longer than the queue has no room."""
    done = threading.Event()

    def fill() -> None:
        for number in itertools.count():
            shop.order(f"c-{number}")
            if done.wait(0.02):
                return

    others = threading.Thread(target=fill)
    others.start()
    try:
        yield
    finally:
        done.set()
        others.join()


def test_a_full_queue_is_tried_again_by_itself(page: Page, start_shop: StartShop) -> None:
    shop = start_shop(stock=1000, drain_rate="2", queue_max_length="1")
    with kept_full(shop):
        buy(page, shop)
        expect(page.get_by_text("Many people are ordering right now.")).to_be_visible(
            timeout=20 * SECONDS
        )
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
    # Nothing is held in this sale.
    for name in ("Leave the line", "Keep it longer", "Pay now"):
        expect(page.get_by_text(name)).to_be_hidden()
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


@pytest.mark.parametrize("start_shop", ["embedded"], indirect=True)
def test_a_sale_of_the_shops_stock_shows_what_is_sold_until_it_is_sold_out(
    page: Page, start_shop: StartShop
) -> None:
    shop = start_shop()
    shop.execute("UPDATE sales SET stock = NULL, sold = 1200")
    page.goto(f"{shop.url}/?sku=tv")
    expect(page.get_by_text("1,200 sold")).to_be_visible()
    expect(page.locator("#meter")).to_be_hidden()
    expect(page.get_by_role("button", name="Buy")).to_be_enabled()
    shop.execute("UPDATE sales SET sold_out = true")
    expect(page.get_by_text("Sold out.")).to_be_visible(timeout=10 * SECONDS)
    expect(page.get_by_role("button", name="Buy")).to_be_disabled()


@pytest.mark.parametrize("start_shop", ["embedded"], indirect=True)
@pytest.mark.parametrize(
    ("delivery", "words"),
    [
        ({"delivery": "delivered", "order_ref": "A-7"}, "Your order A-7 is confirmed."),
        ({"delivery": "pending"}, "is confirmed. It is being passed on to the shop."),
        ({"delivery": "failed"}, "could not be passed on to the shop so far. It stays yours."),
    ],
    ids=["delivered", "pending", "failed"],
)
def test_a_confirmed_order_says_how_far_its_delivery_is(
    page: Page, start_shop: StartShop, delivery: dict[str, str], words: str
) -> None:
    shop = start_shop()

    def refuse(route: Route) -> None:
        route.fulfill(status=503, body="no streams here")

    def tell(route: Route) -> None:
        route.fulfill(body=json.dumps(route.fetch().json() | delivery))

    page.route("**/orders/*", tell)
    page.route("**/events", refuse)
    buy(page, shop)
    expect(page.get_by_role("heading", name="It is yours!")).to_be_visible(timeout=20 * SECONDS)
    expect(page.locator("#detail")).to_contain_text(words)
