"""A browser for the tests of pages."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from flashsale.domain.sales import Sale
from loadtest.servers import free_port
from tests.browser.shops import (
    PHONE,
    SCREENSHOTS,
    SECONDS,
    NewShopper,
    Shop,
    StartShop,
    elsewhere,
    open_sale,
)
from tests.conftest import unique
from tests.processes import process

# A browser on a busy machine.
expect.set_options(timeout=20 * SECONDS)


# Not for longer: Playwright runs a loop in this thread, beside which no other can run.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A Chromium that these tests share; each has a context of its own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium here: install chromium")
    with sync_playwright() as playwright:
        # Its sandbox refuses to run as root; the pages are our own.
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(params=["embedded", "real"])
def start_shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartShop]:
    """Start a shop that sells `stock` tvs, with these settings."""
    with ExitStack() as stack:

        def start(stock: int = 10, terms: Mapping[str, Any] | None = None, **settings: str) -> Shop:
            real = request.param == "real"
            url = str(request.getfixturevalue("postgres_url" if real else "sqlite_url"))
            elsewhere(open_sale(url, Sale("tv", stock, **(terms or {}))))
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


@pytest.fixture
def new_shopper(browser: Browser) -> Iterator[NewShopper]:
    """Open the page of another phone, or a further tab of one.

    It must have no script error, and break no rule of its own policy.
    """
    errors: list[str] = []

    def listen(page: Page) -> None:
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            # A 503 is an answer like others, which Chromium reports as an error.
            lambda message: (
                errors.append(message.text)
                if message.type == "error" and "the server responded with" not in message.text
                else None
            ),
        )

    with ExitStack() as contexts:

        def open_page(beside: Page | None = None, **options: Any) -> Page:
            if beside is not None:
                return beside.context.new_page()
            phone = {"viewport": PHONE, "reduced_motion": "reduce", **options}
            context = browser.new_context(**phone)
            contexts.callback(context.close)
            context.on("page", listen)
            return context.new_page()

        yield open_page
    # The shop may end before its pages.
    assert [error for error in errors if "net::ERR_" not in error] == []


@pytest.fixture
def page(new_shopper: NewShopper, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page of a phone, of which a picture is taken at the end."""
    opened = new_shopper()
    yield opened
    SCREENSHOTS.mkdir(exist_ok=True)
    opened.screenshot(path=SCREENSHOTS / f"{request.node.name}.png", full_page=True)
