"""A browser for the tests of pages."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright


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
