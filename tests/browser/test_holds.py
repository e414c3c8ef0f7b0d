"""Orders that are held, on the shopper's page in a real browser: pay, wait in line, cancel."""

import json
import re
import time
import urllib.request
from typing import Any

import pytest
from playwright.sync_api import Page, Route, ViewportSize, expect

from flashsale.messages.standard_webhooks import new_secret, parse_secret, signed_headers
from tests.browser.shops import SCREENSHOTS, SECONDS, NewShopper, Shop, StartShop, buy

HELD: dict[str, Any] = {"hold_seconds": 600, "waitlist": 5}
TIME_IS_UP = "Time is up: we are checking whether your payment came"
OVER = "UPDATE orders SET expires_at = expires_at - 10000 WHERE status = 'held'"
NARROW: ViewportSize = {"width": 320, "height": 640}

embedded = pytest.mark.parametrize("start_shop", ["embedded"], indirect=True)


def is_held(page: Page) -> None:
    expect(heading(page, "It is held for you")).to_be_visible(timeout=20 * SECONDS)


def heading(page: Page, name: str) -> Any:
    return page.get_by_role("heading", name=name)


def seconds_left(page: Page) -> int:
    """What the countdown shows."""
    shown = page.locator("#countdown")
    expect(shown).to_have_text(re.compile(r"^\d+:\d\d$"))
    minutes, seconds = shown.inner_text().split(":")
    return 60 * int(minutes) + int(seconds)


def order_id(page: Page) -> str:
    stored = page.evaluate("localStorage.getItem('flashsale order tv')")
    return str(json.loads(stored)["id"])


def pay_as_provider(shop: Shop, secret: str, of: str) -> dict[str, Any]:
    """Tell the gateway of a payment, as the shop's provider does."""
    body = json.dumps({"order_id": of, "payment_id": f"p-{of}", "outcome": "succeeded"}).encode()
    headers = signed_headers([parse_secret(secret)], f"m-{of}", int(time.time()), body)
    headers["Content-Type"] = "application/json"
    request = urllib.request.Request(f"{shop.url}/payments", body, headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


@embedded
def test_a_shopper_pays_on_the_demonstration_page_and_the_order_is_confirmed(
    page: Page, start_shop: StartShop
) -> None:
    shop = start_shop(2, HELD | {"title": "A TV", "price": "499.00", "currency": "EUR"})
    buy(page, shop)
    is_held(page)
    expect(page.get_by_text("1 of 2 left, 1 held")).to_be_visible()
    assert 590 <= seconds_left(page) <= 600
    page.screenshot(path=SCREENSHOTS / "held.png", full_page=True)
    page.get_by_role("link", name="Pay now").click()
    expect(heading(page, "1 \u00d7 A TV")).to_be_visible()
    expect(page.get_by_text("499.00 EUR")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "demo-pay.png", full_page=True)
    page.get_by_role("button", name="Fail the payment").click()
    is_held(page)
    page.get_by_role("link", name="Pay now").click()
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(heading(page, "It is yours!")).to_be_visible(timeout=20 * SECONDS)
    expect(page).to_have_url(f"{shop.url}/?sku=tv")
    expect(page.get_by_text("1 of 2 left")).to_be_visible()
    expect(page.locator("#countdown")).to_be_hidden()
    for name in ("Pay now", "Cancel the order", "Keep it longer"):
        expect(page.get_by_text(name)).to_be_hidden()


@embedded
def test_a_payment_that_comes_too_late_is_given_back(page: Page, start_shop: StartShop) -> None:
    shop = start_shop(1, HELD)
    buy(page, shop)
    is_held(page)
    paying = page.get_by_role("link", name="Pay now").get_attribute("href")
    assert paying is not None
    page.get_by_role("button", name="Cancel the order").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(heading(page, "You cancelled your order")).to_be_visible()
    expect(page.get_by_text("you get your money back")).to_be_visible()
    page.goto(paying)
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(page.get_by_text("You get your money back.")).to_be_visible()
    page.get_by_role("link", name="Back to the shop").click()
    expect(heading(page, "You cancelled your order")).to_be_visible()


def test_a_hold_without_a_payment_goes_to_the_next_in_line_who_pays(
    page: Page, new_shopper: NewShopper, start_shop: StartShop
) -> None:
    secret = new_secret()
    shop = start_shop(1, HELD, payment_secret=secret, pay_url="/pay/{order_id}")
    buy(page, shop)
    is_held(page)
    assert str(page.get_by_role("link", name="Pay now").get_attribute("href")) == (
        f"{shop.url}/pay/{order_id(page)}"
    )
    second, third = new_shopper(color_scheme="dark"), new_shopper(viewport=NARROW)
    for number, other in enumerate((second, third), start=1):
        buy(other, shop, customer=f"c-{number}")
        place = f"You are {number}{'st' if number == 1 else 'nd'} in line for a freed one"
        expect(heading(other, place)).to_be_visible(timeout=20 * SECONDS)
    expect(page.get_by_text("Everything is held right now.")).to_be_visible()
    third.screenshot(path=SCREENSHOTS / "waitlisted.png", full_page=True)
    for other in (second, third):
        width = other.evaluate("document.documentElement.scrollWidth")
        assert width == other.evaluate("innerWidth")
    shop.execute(OVER)
    expect(heading(page, "The time to pay is over")).to_be_visible(timeout=20 * SECONDS)
    expect(page.get_by_role("link", name="Pay now")).to_be_hidden()
    is_held(second)
    second.screenshot(path=SCREENSHOTS / "held-dark.png", full_page=True)
    expect(heading(third, "You are 1st in line for a freed one")).to_be_visible(
        timeout=20 * SECONDS
    )
    assert pay_as_provider(shop, secret, order_id(second))["result"] == "confirmed"
    for other, told in ((second, "It is yours!"), (third, "Sold out")):
        expect(heading(other, told)).to_be_visible(timeout=20 * SECONDS)


@embedded
def test_a_late_payment_makes_an_expired_order_the_shoppers_if_it_is_still_free(
    page: Page, start_shop: StartShop
) -> None:
    shop = start_shop(1, HELD)
    buy(page, shop)
    is_held(page)
    paying = page.get_by_role("link", name="Pay now").get_attribute("href")
    shop.execute(OVER)
    expect(heading(page, "The time to pay is over")).to_be_visible(timeout=20 * SECONDS)
    late = page.context.new_page()
    late.goto(str(paying))
    late.get_by_role("button", name="Pay", exact=True).click()
    expect(heading(late, "It is yours!")).to_be_visible(timeout=20 * SECONDS)
    late.close()
    expect(heading(page, "It is yours!")).to_be_visible(timeout=20 * SECONDS)


def test_the_end_of_the_countdown_says_that_the_payment_is_looked_for_until_the_drain_decides(
    page: Page, start_shop: StartShop
) -> None:
    shop = start_shop(1, {"hold_seconds": 2})
    buy(page, shop)
    expect(heading(page, TIME_IS_UP)).to_be_visible(timeout=20 * SECONDS)
    for name in ("Pay now", "Cancel the order", "Order again"):
        expect(page.get_by_text(name)).to_be_hidden()
    page.screenshot(path=SCREENSHOTS / "time-is-up.png", full_page=True)
    page.reload()
    expect(heading(page, TIME_IS_UP)).to_be_visible()
    shop.execute(OVER)
    expect(heading(page, "The time to pay is over")).to_be_visible(timeout=20 * SECONDS)
    expect(page.get_by_role("button", name="Order again")).to_be_visible()


@embedded
def test_a_hold_goes_on_after_a_reload_and_in_two_tabs(
    page: Page, new_shopper: NewShopper, start_shop: StartShop
) -> None:
    shop = start_shop(1, HELD | {"extendable": True})
    buy(page, shop)
    is_held(page)
    before = seconds_left(page)
    page.reload()
    is_held(page)
    assert before - 30 <= seconds_left(page) <= before
    tab = new_shopper(beside=page)
    tab.goto(shop.url)
    is_held(tab)
    assert order_id(tab) == order_id(page)
    tab.get_by_role("button", name="Keep it longer").click()
    for shown in (tab, page):
        expect(shown.get_by_role("button", name="Keep it longer")).to_be_hidden()
        expect(shown.locator("#countdown")).to_have_text(re.compile(r"^(19|20):\d\d$"))
    tab.get_by_role("button", name="Cancel the order").click()
    expect(tab.get_by_role("dialog", name="Cancel the order?")).to_be_visible()
    tab.screenshot(path=SCREENSHOTS / "cancel.png", full_page=True)
    tab.get_by_role("button", name="Keep it", exact=True).click()
    is_held(tab)
    tab.get_by_role("button", name="Cancel the order").click()
    tab.get_by_role("button", name="Cancel it").click()
    for shown in (tab, page):
        expect(heading(shown, "You cancelled your order")).to_be_visible(timeout=20 * SECONDS)
    expect(page.get_by_text("1 of 1 left")).to_be_visible()


@embedded
@pytest.mark.parametrize("hours", [1, -1])
def test_the_countdown_is_right_on_a_phone_whose_clock_is_an_hour_wrong(
    page: Page, start_shop: StartShop, hours: int
) -> None:
    page.add_init_script(
        f"""const wrong = {hours} * 3600 * 1000;
        globalThis.Date = class extends Date {{
            constructor(...given) {{ given.length ? super(...given) : super(Date.now()); }}
            static now() {{ return super.now() + wrong; }}
        }};"""
    )
    shop = start_shop(1, HELD)
    buy(page, shop)
    is_held(page)
    off = page.evaluate("Date.now()") / 1000 - time.time()
    assert abs(off - 3600 * hours) < 60
    assert 560 <= seconds_left(page) <= 600


LISTEN = """
globalThis.spoken = [];
document.addEventListener("DOMContentLoaded", () => {
    for (const region of document.querySelectorAll("#spoken, #order [role=status]")) {
        const hear = (changes) => {
            for (const { addedNodes } of changes) {
                for (const { textContent } of addedNodes) if (textContent) spoken.push(textContent);
            }
        };
        new MutationObserver(hear).observe(region, { childList: true, subtree: true });
    }
});
"""


def run_until_spoken(page: Page) -> None:
    """Let the time of the page pass, second by second, until something is spoken."""
    for _ in range(200):
        page.clock.run_for(1 * SECONDS)
        if page.evaluate("spoken.length"):
            return
    raise AssertionError("nothing was spoken")


@embedded
def test_a_screen_reader_is_told_at_60_and_at_10_seconds_and_not_each_second(
    page: Page, start_shop: StartShop
) -> None:
    page.clock.install()
    page.add_init_script(LISTEN)
    shop = start_shop(1, {"hold_seconds": 200})
    buy(page, shop)
    is_held(page)
    expect(page.locator("#spoken")).to_have_attribute("aria-live", "assertive")
    expect(page.locator("#countdown")).to_have_attribute("role", "timer")
    expect(page.locator("#spoken")).to_have_text("You have 3 minutes to pay.")
    page.evaluate("spoken.length = 0")
    before = seconds_left(page)
    for words, left in (("1 minute left to pay.", 60), ("10 seconds left to pay.", 10)):
        run_until_spoken(page)
        assert page.evaluate("spoken.splice(0)") == [words]
        assert left - 5 <= seconds_left(page) <= left < before - 40
    run_until_spoken(page)
    assert page.evaluate("spoken")[0] == TIME_IS_UP


def test_a_shopper_leaves_the_line(
    page: Page, new_shopper: NewShopper, start_shop: StartShop
) -> None:
    shop = start_shop(1, HELD)
    holder = new_shopper()
    buy(holder, shop, customer="holder")
    is_held(holder)
    buy(page, shop)
    expect(heading(page, "You are 1st in line")).to_be_visible(timeout=20 * SECONDS)
    page.get_by_role("button", name="Leave the line").click()
    dialog = page.get_by_role("dialog", name="Leave the line?")
    expect(dialog.get_by_role("button", name="Stay in line")).to_be_focused()
    dialog.get_by_role("button", name="Leave the line").click()
    expect(heading(page, "You cancelled your order")).to_be_visible(timeout=20 * SECONDS)
    expect(heading(page, "You cancelled your order")).to_be_focused()
    page.reload()
    expect(heading(page, "You cancelled your order")).to_be_visible()


@embedded
def test_the_title_of_a_page_in_the_background_tells_that_it_is_the_shoppers_turn(
    page: Page, new_shopper: NewShopper, start_shop: StartShop
) -> None:
    shop = start_shop(1, HELD)
    holder = new_shopper()
    buy(holder, shop, customer="holder")
    is_held(holder)
    page.clock.install()
    buy(page, shop)
    expect(heading(page, "You are 1st in line")).to_be_visible(timeout=20 * SECONDS)
    turn(page, hidden=True)
    holder.get_by_role("button", name="Cancel the order").click()
    holder.get_by_role("button", name="Cancel it").click()
    expect(heading(holder, "You cancelled your order")).to_be_visible(timeout=20 * SECONDS)
    page.wait_for_function(
        "async (id) => (await (await fetch(`/orders/${id}`)).json()).status === 'held'",
        arg=order_id(page),
    )
    # An answer to the page comes by the clock of the machine, and may be followed by another poll.
    deadline = time.monotonic() + 60
    while page.title() != "Held for you: tv" and time.monotonic() < deadline:
        page.clock.run_for(5 * SECONDS)
        page.wait_for_function("() => fetch('/healthz').then(() => true)")
    expect(page).to_have_title("Held for you: tv")
    turn(page, hidden=False)
    expect(page).to_have_title("tv: flash sale")
    is_held(page)


def turn(page: Page, hidden: bool) -> None:
    """Put the page in the background, or in front."""
    page.evaluate(
        """(hidden) => {
            Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


@embedded
def test_a_queued_order_of_a_sale_with_holds_can_be_cancelled(
    page: Page, start_shop: StartShop
) -> None:
    shop = start_shop(100, HELD, drain_rate="1")
    for number in range(20):
        assert shop.order(f"c-{number}") == 202
    buy(page, shop)
    page.get_by_role("button", name="Leave the line").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave the line").click()
    expect(heading(page, "You cancelled your order")).to_be_visible(timeout=20 * SECONDS)


@embedded
def test_an_order_that_was_replaced_or_cancelled_by_the_shop_says_so(
    page: Page, start_shop: StartShop
) -> None:
    shop = start_shop(2, HELD, admin_token="the-operator")
    buy(page, shop)
    is_held(page)
    assert shop.order("me@example.org") == 202
    expect(heading(page, "You ordered again")).to_be_visible(timeout=20 * SECONDS)
    page.get_by_role("button", name="Order again").click()
    page.get_by_role("button", name="Buy one").click()
    is_held(page)
    request = urllib.request.Request(
        f"{shop.url}/admin/orders/{order_id(page)}/cancel",
        b"{}",
        {"Authorization": "Bearer the-operator", "Content-Type": "application/json"},
        method="POST",
    )
    urllib.request.urlopen(request, timeout=20).close()
    expect(heading(page, "The shop cancelled your order")).to_be_visible(timeout=20 * SECONDS)


@embedded
def test_a_bought_order_of_a_cancellable_sale_can_be_cancelled_in_each_tab(
    page: Page, new_shopper: NewShopper, start_shop: StartShop
) -> None:
    shop = start_shop(1, {"cancellable": True})
    buy(page, shop)
    expect(heading(page, "It is yours!")).to_be_visible(timeout=20 * SECONDS)
    tab = new_shopper(beside=page)
    tab.goto(shop.url)
    tab.get_by_role("button", name="Cancel the order").click()
    tab.get_by_role("button", name="Cancel it").click()
    for shown in (tab, page):
        expect(heading(shown, "You cancelled your order")).to_be_visible(timeout=20 * SECONDS)


@embedded
def test_a_hold_is_followed_by_polls_without_event_streams(
    page: Page, start_shop: StartShop
) -> None:
    shop = start_shop(1, HELD | {"extendable": True})

    def refuse(route: Route) -> None:
        route.fulfill(status=503, body="no streams here")

    page.route("**/events", refuse)
    started = time.monotonic()
    buy(page, shop)
    is_held(page)
    # A long poll must not wait for the end of the hold before it tells of it.
    assert time.monotonic() - started < 15
    page.reload()
    is_held(page)
    page.get_by_role("button", name="Keep it longer").click()
    expect(page.locator("#countdown")).to_have_text(re.compile(r"^(19|20):\d\d$"))
    shop.execute(OVER)
    expect(heading(page, "The time to pay is over")).to_be_visible(timeout=30 * SECONDS)


@embedded
def test_a_cancellation_that_is_not_answered_or_comes_too_late_says_so(
    page: Page, start_shop: StartShop
) -> None:
    shop = start_shop(1, HELD)
    buy(page, shop)
    is_held(page)
    problem = {"type": "/problems/order-over", "title": "Over", "status": 409}

    def refuse(route: Route) -> None:
        route.fulfill(status=409, body=json.dumps(problem))

    page.route("**/cancel", refuse)
    page.get_by_role("button", name="Cancel the order").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(page.get_by_role("alert")).to_have_text("This order was over already.")
    is_held(page)  # as the gateway still tells it


CLIENT_BUYS = """async (patience) => {
    const { SaleClient, newOrder } = await import("/client.js");
    globalThis.client = new SaleClient();
    globalThis.told = [];
    globalThis.started = performance.now();
    const order = newOrder({ sku: "tv", customer: "c-1" });
    const tell = (state) => told.push(state);
    client.buy(order, { tell, patience }).then(
        (seen) => { globalThis.end = seen.status; },
        (error) => { globalThis.end = error.kind; },
    );
}"""


@embedded
def test_the_client_repeats_a_change_without_an_answer_and_waits_for_the_end_of_a_hold(
    page: Page, start_shop: StartShop
) -> None:
    shop = start_shop(1, HELD | {"extendable": True})
    lost: list[str] = []

    def lose_the_first_answer(route: Route) -> None:
        if route.request.url in lost:
            route.continue_()
            return
        lost.append(route.request.url)
        route.fetch()
        route.abort("connectionreset")

    page.route(re.compile("/(extend|cancel)$"), lose_the_first_answer)
    page.goto(shop.url)
    patience = 10
    page.evaluate(CLIENT_BUYS, patience)
    page.wait_for_function("() => told.at(-1)?.status === 'held'")
    held = page.evaluate("told.at(-1)")
    assert held["pay_url"] == f"{shop.url}/demo/pay/{held['order_id']}"
    extended = page.evaluate("(id) => client.extend(id)", held["order_id"])
    assert (extended["status"], extended["extended"]) == ("held", True)
    assert extended["ends"] > held["ends"] + 500 * SECONDS
    refused = page.evaluate("(id) => client.extend(id).catch(({ kind }) => kind)", held["order_id"])
    assert refused == "extended-already"
    page.wait_for_function("(ms) => performance.now() - started > ms", arg=patience * SECONDS + 500)
    assert page.evaluate("globalThis.end") is None
    cancelled = page.evaluate("(id) => client.cancel(id)", held["order_id"])
    assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "by_customer")
    page.wait_for_function("() => globalThis.end === 'cancelled'")
    assert len(lost) == 2
