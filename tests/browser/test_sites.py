"""The gateway within a site, in a real browser: several sales, a path, and another origin."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.servers import ServerNotFound, free_port, nginx
from tests.browser.shops import SECONDS, Shop, buy
from tests.processes import process

CLIENT_PAGE = Path(__file__).parents[2] / "docs" / "client.md"
SITE = """
server {{
    listen LISTEN;
    location /flash/ {{ proxy_pass {url}/; proxy_set_header X-Forwarded-Prefix /flash; }}
    location / {{ default_type text/html; return 200 "a page of the shop"; }}
}}
"""


@dataclass
class Site(Shop):
    """A gateway, and a site that is called by two names: the gateway allows one of them."""

    port: int = field(kw_only=True)

    @property
    def allowed(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def stranger(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def shop(servers: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a sale that is open, and others."""
    folder = tmp_path_factory.mktemp("sites")
    url = f"sqlite+aiosqlite:///{folder / 'sale.db'}"
    with ThreadPoolExecutor(1) as elsewhere:  # Playwright runs a loop in this thread
        elsewhere.submit(asyncio.run, create_sales(url)).result()
    port = free_port()
    try:
        site = servers.enter_context(nginx(SITE.format(url=f"http://127.0.0.1:{port}")))
    except ServerNotFound as error:
        pytest.skip(str(error))
    shop = Site(f"http://127.0.0.1:{port}", port=site.port)
    environment = {
        "FLASHSALE_DATABASE_URL": url,
        "FLASHSALE_GATEWAY_PORT": str(port),
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
        "FLASHSALE_TRUSTED_PROXIES": "127.0.0.1",
        "FLASHSALE_CORS_ORIGINS": shop.allowed,
    }
    with process(["flashsale", "run"], folder / "run.log", environment) as running:
        running.await_url(f"{shop.url}/readyz")
        yield shop


async def create_sales(url: str) -> None:
    now = time.time()
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        for sale in (
            Sale("a-long-over", 5, closes_at=now - 1000),
            Sale("b-over", 5, closes_at=now - 10),
            Sale("c-later", 5, opens_at=now + 7200),
            Sale("d-soon", 5, opens_at=now + 3600),
            Sale("e-gone", 0),
            Sale("tv", 100),
        ):
            await ledger.create_sale(sale)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_the_page_shows_the_open_sale_and_lists_the_others(page: Page, shop: Site) -> None:
    page.goto(shop.url)
    expect(page.locator("#sku")).to_have_text("tv")
    expect(page.get_by_role("button", name="Buy one")).to_be_enabled()
    others = page.get_by_role("navigation", name="Other sales").get_by_role("listitem")
    expect(others).to_have_count(5)
    skus = [item.split()[0] for item in others.all_inner_texts()]
    assert skus == ["d-soon", "c-later", "e-gone", "b-over", "a-long-over"]
    expect(others.nth(0)).to_contain_text("begins at")
    expect(others.nth(2)).to_contain_text("sold out")
    expect(others.nth(3)).to_contain_text("over")
    page.get_by_role("link", name="b-over").click()
    expect(page.locator("#sku")).to_have_text("b-over")
    expect(page.get_by_text("This sale is over.")).to_be_visible()
    expect(page.get_by_role("link", name="tv")).to_be_visible()


@pytest.mark.parametrize(
    ("without", "shown"),
    [
        ({"tv"}, "d-soon"),
        ({"tv", "d-soon", "c-later"}, "e-gone"),
        ({"tv", "d-soon", "c-later", "e-gone"}, "b-over"),
    ],
)
def test_without_an_open_sale_the_next_one_is_shown_or_the_last(
    page: Page, shop: Site, without: set[str], shown: str
) -> None:
    def answer(route: Route) -> None:
        told = route.fetch().json()
        left = [sale for sale in told["sales"] if sale["sku"] not in without]
        route.fulfill(body=json.dumps({"sales": left}), content_type="application/json")

    page.route(f"{shop.url}/sales", answer)
    page.goto(shop.url)
    expect(page.locator("#sku")).to_have_text(shown)


def test_a_shopper_buys_under_a_path_of_the_site(page: Page, shop: Site) -> None:
    path = f"{shop.stranger}/flash/"
    buy(page, Shop(path))
    expect(page.get_by_role("heading", name="It is yours!")).to_be_visible(timeout=20 * SECONDS)
    page.get_by_role("link", name="d-soon").click()
    expect(page).to_have_url(f"{path}?sku=d-soon")
    expect(page.locator("#sku")).to_have_text("d-soon")


def test_a_page_of_a_named_origin_orders_and_a_stranger_does_not(page: Page, shop: Site) -> None:
    order = """async (url) => {
        const answer = await fetch(`${url}/orders`, {
            method: "POST",
            headers: { "Content-Type": "application/json", "Idempotency-Key": "k" },
            body: JSON.stringify({ sku: "tv", customer_id: "elsewhere" }),
        });
        const location = answer.headers.get("Location");
        const stream = new EventSource(`${url}${location}/events`);
        await new Promise((heard) => stream.addEventListener("confirmed", heard));
        stream.close();
        const refused = await fetch(`${url}/orders`, { method: "POST", body: "x" });
        return [answer.status, location, (await refused.json()).type];
    }"""
    page.goto(shop.allowed)
    status, location, refused = page.evaluate(order, shop.url)
    assert (status, refused) == (202, "/problems/unsupported-media-type")
    assert location.startswith("/orders/")
    page.goto(shop.stranger)
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate(order, shop.url)


def test_a_lost_order_is_looked_for_under_the_path(page: Page, shop: Site) -> None:
    taken: list[str] = []

    def lose_the_answer(route: Route) -> None:
        """The order is taken; of the retry a gateway that has not heard of it says sold out."""
        if not taken:
            taken.append(route.fetch().json()["order_id"])
            route.abort()
            return
        problem = {"type": "/problems/sold-out", "title": "Sold out", "order_id": taken[0]}
        route.fulfill(status=409, body=json.dumps(problem))

    page.route("**/orders", lose_the_answer)
    buy(page, Shop(f"{shop.stranger}/flash/"))
    expect(page.get_by_role("heading", name="It is yours!")).to_be_visible(timeout=20 * SECONDS)
    assert taken[0][:8] in page.locator("#detail").inner_text()


def test_an_answer_that_is_not_of_the_gateway_is_not_taken_for_a_refusal(
    page: Page, shop: Site
) -> None:
    strange = [(200, "<p>Log in to this network"), (403, "<p>denied"), (404, "{}")]

    def answer(route: Route) -> None:
        if not strange:
            route.continue_()
            return
        status, body = strange.pop()
        route.fulfill(status=status, body=body, headers={"Retry-After": "0.1"})

    page.route("**/orders", answer)
    buy(page, shop)
    expect(page.get_by_role("heading", name="It is yours!")).to_be_visible(timeout=20 * SECONDS)
    assert strange == []


def test_another_tab_shows_the_order_and_does_not_send_a_second_one(page: Page, shop: Site) -> None:
    other = page.context.new_page()
    other.goto(shop.url)
    expect(other.get_by_role("button", name="Buy one")).to_be_enabled()
    buy(page, shop)
    for tab in (other, page):
        expect(tab.get_by_role("heading", name="It is yours!")).to_be_visible(timeout=20 * SECONDS)
    assert page.locator("#detail").inner_text() == other.locator("#detail").inner_text()
    # This tab does not put its older order over the later one.
    other.get_by_role("button", name="Order again").click()
    other.get_by_role("button", name="Buy one").click()
    expect(other.get_by_role("heading", name="It is yours!")).to_be_visible(timeout=20 * SECONDS)
    later = other.locator("#detail").inner_text()
    assert later != page.locator("#detail").inner_text()
    page.reload()
    expect(page.locator("#detail")).to_have_text(later)


def test_many_tabs_work_as_hidden_ones_hold_no_connections(page: Page, shop: Site) -> None:
    turn = """(hidden) => {
        Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    tabs = [page, *(page.context.new_page() for _ in range(7))]
    for tab in tabs:
        tab.goto(shop.url)
        expect(tab.locator("#stock")).to_contain_text("left")
        tab.evaluate(turn, True)
    page.evaluate(turn, False)
    buy(page, shop)
    expect(page.get_by_role("heading", name="It is yours!")).to_be_visible(timeout=20 * SECONDS)
    expect(tabs[3].get_by_role("heading", name="It is yours!")).to_be_hidden()
    tabs[3].evaluate(turn, False)
    stock = page.locator("#stock").inner_text()
    expect(tabs[3].locator("#stock")).to_have_text(stock)


def test_a_browser_without_scripts_is_told_what_is_missing(browser: Browser, shop: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(shop.url)
    assert "This page needs JavaScript" in page.locator("body").inner_text()
    expect(page.get_by_text("Loading")).to_have_count(0)
    context.close()


def test_the_link_to_a_sale_without_a_sku_shows_the_open_one(page: Page, shop: Site) -> None:
    page.goto(f"{shop.url}/?sku=")
    expect(page.locator("#sku")).to_have_text("tv")


def test_a_shop_imports_the_client_from_another_origin_as_documented(
    page: Page, shop: Site
) -> None:
    [code] = re.findall(r"^```javascript\n(.*?)^```", CLIENT_PAGE.read_text(), re.M | re.S)
    code = code.replace("https://shop.example/flash", shop.url).replace("tv-55", "tv")
    page.goto(shop.allowed)
    page.add_script_tag(type="module", content=code)
    expect(page.locator("body")).to_have_text("confirmed ", timeout=20 * SECONDS)
    stored = json.loads(page.evaluate("localStorage.getItem('order')"))
    assert stored["final"]["order_id"] == stored["id"]
    # After a reload it is the same order, and not sent again.
    page.goto(shop.allowed)
    page.route("**/orders", lambda route: route.abort())
    page.add_script_tag(type="module", content=code)
    expect(page.locator("body")).to_have_text("confirmed ", timeout=20 * SECONDS)


def test_the_page_of_a_stranger_cannot_import_the_client(page: Page, shop: Site) -> None:
    page.goto(shop.stranger)
    with pytest.raises(Error, match="Failed to fetch dynamically imported module"):
        page.evaluate("(url) => import(`${url}/client.js`)", shop.url)


CLIENT_BUYS = """async ([url, options, wanted, patience]) => {
    const { SaleClient, newOrder } = await import(`${url}/client.js`);
    const told = [];
    const tell = ({ status, known }) => told.push([status, known ?? null]);
    const order = newOrder({ sku: "tv", customer: crypto.randomUUID(), ...wanted });
    const started = performance.now();
    const client = new SaleClient(options);
    try {
        const seen = await client.buy(order, { tell, patience });
        return { seen, told, ms: performance.now() - started };
    } catch (error) {
        return { error: error.kind, problem: error.problem, told, ms: performance.now() - started };
    }
}"""


def client_buys(
    page: Page,
    shop: Site,
    options: dict[str, str] | None = None,
    patience: float = 60,
    purchase_pass: str | None = None,
    **wanted: object,
) -> Any:
    """Buy by the module, from the page of another origin."""
    page.goto(shop.allowed)
    order = {"pass": purchase_pass, **wanted}
    return page.evaluate(CLIENT_BUYS, [shop.url, options or {}, order, patience])


Trick = Callable[[Route], None]


def lose(route: Route) -> None:
    route.abort("connectionreset")


def lose_the_answer(route: Route) -> None:
    route.fetch()
    route.abort("connectionreset")


def an_error_page(route: Route) -> None:
    route.fulfill(status=502, body="<p>bad gateway", headers=READABLE)


def too_often(route: Route) -> None:
    body = json.dumps({"type": "/problems/client-rate", "title": "Too often", "status": 429})
    route.fulfill(status=429, body=body, headers={"Retry-After": "2", **READABLE})


READABLE = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}


def keys_of_orders(page: Page, tricks: list[Trick]) -> list[str]:
    """Play a trick on each of the next orders; the keys that are sent, as they come."""
    keys: list[str] = []

    def handle(route: Route) -> None:
        if route.request.method == "POST":
            keys.append(route.request.headers["idempotency-key"])
            if tricks:
                tricks.pop(0)(route)
                return
        route.continue_()

    page.route("**/orders", handle)
    return keys


@pytest.mark.parametrize("trick", [lose, lose_the_answer, an_error_page])
def test_the_client_sends_an_order_without_an_answer_again_under_its_key(
    page: Page, shop: Site, trick: Trick
) -> None:
    keys = keys_of_orders(page, [trick])
    bought = client_buys(page, shop)
    assert bought["seen"]["status"] == "confirmed"
    assert bought["told"][0] == ["retrying", False]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_the_client_waits_as_long_as_a_429_asks_for(page: Page, shop: Site) -> None:
    keys = keys_of_orders(page, [too_often])
    bought = client_buys(page, shop)
    assert bought["seen"]["status"] == "confirmed"
    assert bought["told"][0] == ["retrying", True]
    assert bought["ms"] >= 2000
    assert len(keys) == 2


def test_the_client_tells_at_once_that_it_has_no_patience_for_a_429(page: Page, shop: Site) -> None:
    keys_of_orders(page, [too_often])
    bought = client_buys(page, shop, patience=1.9)
    assert (bought["error"], bought["problem"]["type"]) == ("not-taken", "/problems/client-rate")
    assert bought["ms"] < 1900


def test_the_client_tells_that_an_outcome_is_unknown(page: Page, shop: Site) -> None:
    keys_of_orders(page, [lose_the_answer] * 5)
    assert client_buys(page, shop, patience=1)["error"] == "outcome-unknown"


def test_the_client_tells_a_refusal_with_its_problem(page: Page, shop: Site) -> None:
    gone = client_buys(page, shop, sku="e-gone")["seen"]
    assert (gone["status"], gone["reason"]) == ("rejected", "sold_out")
    unknown = client_buys(page, shop, sku="nothing")["seen"]
    assert unknown["problem"]["type"] == "/problems/unknown-sku"
    assert client_buys(page, shop, quantity=1000)["seen"]["reason"] == "not_enough_left"


def test_the_client_sends_token_and_pass_and_follows_without_a_stream(
    page: Page, shop: Site
) -> None:
    sent: list[tuple[str, Mapping[str, str]]] = []
    page.on(
        "request",
        lambda request: sent.append((f"{request.method} {request.url}", request.headers)),
    )
    bought = client_buys(page, shop, {"token": "the-token"}, purchase_pass="the-pass")
    assert bought["seen"]["status"] == "confirmed"
    [posted] = [headers for what, headers in sent if what == f"POST {shop.url}/orders"]
    assert (posted["authorization"], posted["purchase-pass"]) == ("Bearer the-token", "the-pass")
    looked = {what: headers for what, headers in sent if what.startswith(f"GET {shop.url}/orders/")}
    assert {headers["authorization"] for headers in looked.values()} == {"Bearer the-token"}
    assert not any(what.endswith("/events") for what in looked)


def test_the_client_stops_when_it_is_told_to(page: Page, shop: Site) -> None:
    keys_of_orders(page, [too_often])
    page.goto(shop.allowed)
    stopped = page.evaluate(
        """async (url) => {
            const { SaleClient, newOrder } = await import(`${url}/client.js`);
            const stop = new AbortController();
            const tell = () => stop.abort(new Error("enough"));
            const order = newOrder({ sku: "tv", customer: "c" });
            return new SaleClient().buy(order, { tell, signal: stop.signal })
                .then(() => "bought", (error) => error.message);
        }""",
        shop.url,
    )
    assert stopped == "enough"
