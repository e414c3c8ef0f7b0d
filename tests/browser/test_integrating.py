"""The page of a shop in docs/integrating.md, in a real browser and on an origin of its own."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page

from loadtest.servers import ServerNotFound, free_port, nginx
from tests.browser.shops import Shop
from tests.integration.documented import documented
from tests.integration.gateway.identity.signing import SECRET, a_pass, token
from tests.processes import process, run

SITE = """
server {
    listen LISTEN;
    location / { default_type text/html; return 200 "a page of the shop"; }
}
"""
ORDER = """async ([gateway, body, given]) => {
    const { order } = await import("/order.js");
    const heard = [];
    try {
        await order(gateway, body, given, (event, data) => heard.push([event, data]));
    } catch (problem) {
        return problem.type;
    }
    return heard;
}"""


@dataclass
class Site(Shop):
    """A gateway, and a site on another origin."""

    origin: str = field(kw_only=True)


@pytest.fixture(scope="module")
def shop(servers: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A sale for shoppers with a token and a pass."""
    folder = tmp_path_factory.mktemp("integrating")
    try:
        site = servers.enter_context(nginx(SITE))
    except ServerNotFound as error:
        pytest.skip(str(error))
    port = free_port()
    origin = f"http://localhost:{site.port}"
    environment = {
        "FLASHSALE_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'sale.db'}",
        "FLASHSALE_GATEWAY_PORT": str(port),
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
        "FLASHSALE_CORS_ORIGINS": origin,
        "FLASHSALE_AUTH": "jwt",
        "FLASHSALE_JWT_SECRET": SECRET,
    }
    for command in (["migrate"], ["sale", "create", "tv", "--stock", "5", "--needs-pass"]):
        assert run(["flashsale", *command], environment, folder).returncode == 0
    with process(["flashsale", "run"], folder / "run.log", environment) as running:
        running.await_url(f"http://127.0.0.1:{port}/readyz")
        yield Site(f"http://127.0.0.1:{port}", environment, origin=origin)


@pytest.fixture
def page(browser: Browser, shop: Site) -> Iterator[Page]:
    """The page of the shop, which finds the module of the document beside it."""
    context = browser.new_context()
    page = context.new_page()
    module = documented("order.js")
    page.route(
        f"{shop.origin}/order.js",
        lambda route: route.fulfill(content_type="text/javascript", body=module),
    )
    page.goto(f"{shop.origin}/")
    yield page
    context.close()


def test_the_documented_page_orders_and_hears_the_decision(shop: Site, page: Page) -> None:
    given = {"token": token(), "pass": a_pass(sub="alice")}
    heard = page.evaluate(ORDER, [shop.url, {"sku": "tv"}, given])
    event, decision = heard[-1]
    assert event == "confirmed"
    assert (decision["status"], decision["sku"]) == ("confirmed", "tv")


def test_the_documented_page_is_told_why_it_may_not_order(shop: Site, page: Page) -> None:
    for given, problem in (
        ({"token": "forged"}, "invalid-token"),
        ({"token": token()}, "pass-required"),
        ({"token": token(sub="bob"), "pass": a_pass(jti="2", sub="alice")}, "invalid-pass"),
    ):
        seen = page.evaluate(ORDER, [shop.url, {"sku": "tv"}, given])
        assert seen == f"/problems/{problem}"


def test_the_page_of_the_gateway_still_shows_the_sale(shop: Site, page: Page) -> None:
    page.goto(f"{shop.url}/")
    page.get_by_text("5 left").or_(page.get_by_text("4 of 5 left")).first.wait_for()
