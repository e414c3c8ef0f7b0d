"""A receiver of docs/integrating.md as a process, and signed messages to it."""

import json
import os
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from flashsale.domain.moments import moment_at
from flashsale.domain.orders import Order
from flashsale.messages.standard_webhooks import parse_secret, signed_headers
from loadtest.servers import free_port
from loadtest.servers.server import await_port
from tests.integration.documented import documented, documented_commands

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
BINARIES = Path(sys.executable).parent


@dataclass
class Answer:
    status: int
    kind: str
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class DocumentedReceiver:
    """A folder with the files of one way to adopt, and the server of one framework in it."""

    folder: Path
    framework: str
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/messages"

    @contextmanager
    def running(self, secret: str = SECRET) -> Iterator["subprocess.Popen[bytes]"]:
        """Run the command of the page."""
        [command] = documented_commands(f"receiver_{self.framework}")
        program, *arguments = shlex.split(command.replace("8000", str(self.port)))
        with (self.folder / "output").open("ab") as output:
            popen = subprocess.Popen(
                [BINARIES / program, *arguments],
                cwd=self.folder,
                env=os.environ | {"WEBHOOK_SECRET": secret},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            await_port(self.port)
            yield popen
        finally:
            popen.kill()
            popen.wait()

    def query(self, statement: str) -> list[Any]:
        """Ask, or change, the shop's database."""
        with closing(sqlite3.connect(self.folder / "shop.db", timeout=30)) as database, database:
            return database.execute(statement).fetchall()


def write_receiver(folder: Path, framework: str, way: str) -> DocumentedReceiver:
    """Write the files of the page as it says, and make the database."""
    receiver = f"receiver_{framework}.py"
    (folder / receiver).write_text(documented(receiver))
    (folder / "keys.py").write_text(documented("keys.py"))
    (folder / "shop.py").write_text(documented("shop.py", under=way))
    with closing(sqlite3.connect(folder / "shop.db")) as database:
        database.executescript(documented("shop.sql"))
    return DocumentedReceiver(folder, framework)


def message_about(order: Order, kind: str) -> bytes:
    """The body of the message about an order."""
    data = {
        "order_id": order.id,
        "sku": order.sku,
        "customer_id": order.customer_id,
        "quantity": order.quantity,
        "accepted_at": order.accepted_at,
    }
    moment = moment_at(order.accepted_at).isoformat()
    return json.dumps({"type": kind, "timestamp": moment, "data": data}).encode()


def signed(body: bytes, key: str, secret: str = SECRET) -> dict[str, str]:
    """The headers of a message, signed now."""
    headers = signed_headers([parse_secret(secret)], key, int(time.time()), body)
    return headers | {"Idempotency-Key": key, "Content-Type": "application/json"}


async def post(
    client: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
) -> Answer:
    """Send a message."""
    async with client.post(url, data=body, headers=headers) as answer:
        return Answer(answer.status, answer.content_type, await answer.text())
