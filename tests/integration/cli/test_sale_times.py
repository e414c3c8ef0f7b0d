"""The times of a sale on the command line: the moment that is meant is the moment that counts."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from flashsale.ledger import open_ledger
from loadtest.processes import own_environment
from tests.processes import run

pytestmark = pytest.mark.usefixtures("_migrated")


@pytest.fixture
def _migrated(sqlite_url: str) -> None:
    flashsale(sqlite_url, "migrate")


def flashsale(url: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run(["flashsale", *arguments], {"FLASHSALE_DATABASE_URL": url, **variables})


def create(url: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return flashsale(url, "sale", "create", "a", "--stock", "5", *options, **variables)


async def opens(url: str) -> datetime:
    async with open_ledger(url) as ledger:
        [sale] = await ledger.sales()
    assert sale.opens_at is not None
    return datetime.fromtimestamp(sale.opens_at, UTC)


@pytest.mark.parametrize(
    ("options", "hour"),
    [
        (["2126-11-27T09:00:00+09:00"], 0),
        (["2126-11-27T09:00:00Z"], 9),
        (["2126-11-27T09:00:00-05:00"], 14),
        (["2126-11-27T09:00:00", "--timezone", "Europe/Berlin"], 8),
        (["2126-11-27T09:00:00+09:00", "--timezone", "Europe/Berlin"], 0),
    ],
)
async def test_a_sale_opens_at_the_moment_that_was_given(
    sqlite_url: str, options: list[str], hour: int
) -> None:
    # The zone of the machine does not matter.
    created = create(sqlite_url, "--opens-at", *options, TZ="America/New_York")
    assert created.returncode == 0, created.stderr
    assert await opens(sqlite_url) == datetime(2126, 11, 27, hour, tzinfo=UTC)
    assert f"opens 2126-11-27T{hour:02}:00:00Z" in created.stdout


def test_a_new_sale_is_told_in_utc_and_as_it_was_given_and_how_long_from_now(
    sqlite_url: str,
) -> None:
    berlin = "--timezone", "Europe/Berlin"
    times = "--opens-at", "2125-07-01T09:00:00", "--closes-at", "2126-11-27T09:00:00+09:00"
    created = create(sqlite_url, *times, *berlin)
    opened, closes = created.stdout.splitlines()[1:]
    assert "2125-07-01T07:00:00Z (2125-07-01T09:00:00+02:00 Europe/Berlin), in " in opened
    assert "2126-11-27T00:00:00Z (2126-11-27T01:00:00+01:00 Europe/Berlin), in " in closes

    listed = flashsale(sqlite_url, "sale", "list").stdout
    assert "2125-07-01 07:00:00Z" in listed
    assert "2126-11-27 00:00:00Z" in listed
    shown = flashsale(sqlite_url, "sale", "show", "a", *berlin).stdout
    assert "2125-07-01 09:00:00+02:00" in shown
    assert "2126-11-27 01:00:00+01:00" in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--opens-at", "2126-11-27T09:00:00"], "--opens-at '2126-11-27T09:00:00' has no offset"),
        (["--closes-at", "2126-11-27"], "--closes-at '2126-11-27' is not a time"),
        (["--timezone", "Mars/Olympus"], "there is no such time zone"),
        (["--timezone", "Europe"], "there is no such time zone"),
        (["--timezone", "../etc/passwd"], "there is no such time zone"),
        (
            ["--opens-at", "2026-03-29T02:30:00", "--timezone", "Europe/Berlin"],
            "'2026-03-29T02:30:00' does not exist in Europe/Berlin",
        ),
        (
            ["--opens-at", "2026-10-25T02:30:00", "--timezone", "Europe/Berlin"],
            "give 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00",
        ),
        (
            ["--opens-at", "2126-01-01T00:00:00Z", "--closes-at", "2126-01-01T00:30:00+01:00"],
            "would end before it begins",
        ),
        (["--opens-at", "2020-01-01T00:00:00Z"], "opens_at: must be in the future"),
        (["--closes-at", "2020-01-01T00:00:00Z"], "closes_at: must be in the future"),
    ],
)
def test_a_time_that_no_sale_can_have_is_refused_in_one_line(
    sqlite_url: str, options: list[str], words: str
) -> None:
    refused = create(sqlite_url, *options)
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert words in line
    assert "there is no sale of a" in flashsale(sqlite_url, "sale", "show", "a").stderr


def test_zones_are_known_without_those_of_the_system(sqlite_url: str) -> None:
    # A program of its own, as a fork knows the zones of its parent.
    options = "--stock", "5", "--opens-at", "2126-11-27T09:00:00", "--timezone", "Europe/Berlin"
    created = subprocess.run(
        [sys.executable, "-m", "flashsale", "sale", "create", "a", *options],
        capture_output=True,
        text=True,
        env=own_environment() | {"FLASHSALE_DATABASE_URL": sqlite_url, "PYTHONTZPATH": ""},
        timeout=60,
        check=False,
    )
    assert created.returncode == 0, created.stderr
