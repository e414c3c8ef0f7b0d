"""From an order to a receiver of docs/integrating.md: every process is real, on both stacks."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from loadtest.servers import free_port
from tests.conftest import unique
from tests.integration.receivers.documented_receiver import DocumentedReceiver, write_receiver
from tests.processes import process, run


@dataclass
class Installation:
    """The processes of a sale, and its command line."""

    environment: dict[str, str]
    folder: Path

    def webhook(self, *arguments: str, status: int = 0) -> Any:
        done = run(["flashsale", "webhook", *arguments, "--json"], self.environment, self.folder)
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)

    def order(self, customer: str, quantity: int) -> None:
        body = {"sku": "tv", "customer_id": customer, "quantity": quantity}
        request = Request(
            f"http://127.0.0.1:{self.environment['FLASHSALE_GATEWAY_PORT']}/orders",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=20) as answer:
            assert answer.status == 202


@pytest.fixture(params=["embedded", "real"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    real = request.param == "real"
    port = free_port()
    environment = {
        "FLASHSALE_DATABASE_URL": request.getfixturevalue("postgres_url" if real else "sqlite_url"),
        "FLASHSALE_GATEWAY_PORT": str(port),
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
        "FLASHSALE_SERVICES": "webhook",
        "FLASHSALE_WEBHOOK_ALLOW_PRIVATE": "true",
    }
    if real:
        environment["FLASHSALE_BROKER_URL"] = request.getfixturevalue("rabbit_url")
        environment["FLASHSALE_BROKER_PREFIX"] = f"{unique('hooks')}."
    for arguments in (["migrate"], ["sale", "create", "tv", "--stock", "50"]):
        done = run(["flashsale", *arguments], environment, tmp_path)
        assert done.returncode == 0, done.stderr
    with ExitStack() as stack:
        for command in ("consumer", "services", "gateway") if real else ("run",):
            running = stack.enter_context(
                process(["flashsale", command], tmp_path / f"{command}.log", environment)
            )
        running.await_url(f"http://127.0.0.1:{port}/readyz")
        yield Installation(environment, tmp_path)


def until(found: Callable[[], Any], expected: Any) -> None:
    deadline = time.monotonic() + 30
    while found() != expected:
        assert time.monotonic() < deadline, found()
        time.sleep(0.05)


@pytest.fixture
def receiver(tmp_path: Path) -> DocumentedReceiver:
    folder = tmp_path / "receiver"
    folder.mkdir()
    return write_receiver(folder, "aiohttp", "Events only")


def test_a_confirmed_order_reaches_the_receiver_and_counts_once(
    installation: Installation, receiver: DocumentedReceiver
) -> None:
    added = installation.webhook("add", receiver.url)
    endpoint = added["id"]

    def attempts() -> list[str]:
        return [entry["result"] for entry in installation.webhook("attempts", endpoint)]

    with receiver.running(added["secret"]):
        tested = installation.webhook("test", endpoint)["attempt"]
        assert (tested["result"], tested["status"]) == ("delivered", 200)
        installation.order("alice", 2)
        until(lambda: receiver.query("SELECT * FROM points"), [("alice", 20)])
        until(attempts, ["delivered"] * 2)
        replayed = installation.webhook("replay", endpoint, "--since", "1h")
        assert replayed == {"deliveries": 1, "without_event": 0}
        until(attempts, ["delivered"] * 3)
        assert receiver.query("SELECT * FROM points") == [("alice", 20)]


def test_a_rotated_secret_is_believed_and_the_one_before_for_as_long_as_it_overlaps(
    installation: Installation, receiver: DocumentedReceiver
) -> None:
    added = installation.webhook("add", receiver.url)
    rotated = installation.webhook("rotate", added["id"])
    for secret in (added["secret"], rotated["secret"]):
        with receiver.running(secret):
            assert installation.webhook("test", added["id"])["attempt"]["status"] == 200
    installation.webhook("rotate", added["id"], "--overlap", "0")
    with receiver.running(rotated["secret"]):
        refused = installation.webhook("test", added["id"], status=1)["attempt"]
    assert refused["status"] == 401
