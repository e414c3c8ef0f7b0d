"""The gateway answers as its own description says, to thousands of requests that nobody wrote.

schemathesis makes them from `/openapi.json`: valid ones, wrong ones, and sequences. In `make
fuzz` it makes many more, each time the same.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.servers import free_port
from tests.conftest import unique
from tests.contract.valid_requests import PAYMENT_SECRET
from tests.processes import process

pytestmark = pytest.mark.hypothesis

ROOT = Path(__file__).parents[2]
PROGRAM = "import tests.contract.valid_requests, schemathesis.cli as cli; cli.schemathesis()"
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
SEED = "20"
OPERATOR = "operator-token-of-tests"
FILES = r"/(page|ops|docs)/.*\.(js|css|svg)"
OPERATORS = r"/(admin|ops)\b.*"
# All files are served by the same few lines, and a wrong token waits for a second.
SHORT = ("--max-examples", "2", "--exclude-checks", "ignored_auth")
LONG = ("--max-examples", "250")


async def prepare(database_url: str) -> None:
    """Create a sale in each state."""
    now = time.time()
    async with open_ledger(database_url) as ledger:
        await ledger.migrate()
        for sale in (
            Sale("tv", 100_000),
            Sale("gone", 0),
            Sale("early", 5, opens_at=now + 36_000),
            Sale("late", 5, closes_at=now - 1),
            Sale("one-each", 5, customer_limit=1),
            Sale("held", 50, hold_seconds=60, waitlist=5, cancellable=True, extendable=True),
        ):
            await ledger.create_sale(sale)


@pytest.fixture(params=["embedded", "real"])
def gateway_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A gateway and a consumer, on each stack."""
    port = free_port()
    environment = {
        "FLASHSALE_GATEWAY_PORT": str(port),
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_ADMIN_TOKEN": OPERATOR,
        "FLASHSALE_PAYMENT_SECRET": PAYMENT_SECRET,
        "FLASHSALE_WAIT_SECONDS": "0.1",
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
        # Webhooks would go to the addresses that schemathesis makes up.
        "FLASHSALE_SERVICES": "loyalty,mail,ranking",
    }
    if request.param == "embedded":
        database_url = request.getfixturevalue("sqlite_url")
        commands = ["run"]
    else:
        database_url = request.getfixturevalue("postgres_url")
        environment["FLASHSALE_BROKER_URL"] = request.getfixturevalue("rabbit_url")
        environment["FLASHSALE_BROKER_PREFIX"] = f"{unique('api')}."
        commands = ["gateway", "consumer"]
    asyncio.run(prepare(database_url))
    environment["FLASHSALE_DATABASE_URL"] = database_url
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        for command in commands:
            started = stack.enter_context(
                process(["flashsale", command], tmp_path / f"{command}.log", environment)
            )
            if command != "consumer":
                started.await_url(f"{url}/readyz")
        yield url


def run_schemathesis(url: str, options: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return the report. Raises `AssertionError` with what schemathesis found."""
    report = folder / "report.json"
    command = [
        *(sys.executable, "-c", PROGRAM),
        *("--no-color", "--config-file", str(CONFIGURATION)),
        *("run", f"{url}/openapi.json", "--seed", SEED, "--continue-on-failure", "--no-shrink"),
        *("--header", f"Authorization: Bearer {OPERATOR}", "--request-timeout", "20"),
        *("--report", "json", "--report-json-path", str(report), *options),
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.mark.parametrize(
    "part",
    [
        ("--exclude-path-regex", rf"^({FILES}|{OPERATORS})$"),
        ("--include-path-regex", rf"^{OPERATORS}$", "--exclude-path-regex", rf"^{FILES}$"),
    ],
    ids=["for shoppers", "for operators"],
)
def test_every_answer_is_one_that_the_description_has(
    gateway_url: str, part: tuple[str, ...], tmp_path: Path
) -> None:
    long = hypothesis.settings.get_current_profile_name() == "fuzz"
    report = run_schemathesis(gateway_url, (*part, *(LONG if long else SHORT)), tmp_path)
    assert report["failures"] == report["errors"] == []
    assert report["operations"]["tested"] == report["operations"]["selected"] > 10
    assert report["test_cases"]["generated"] >= (2_000 if long else 200)
