"""Start the order service as a process of its own, and ask what it has seen."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import msgspec

from loadtest.processes import Process, ProcessFailed, get, process
from loadtest.receiver.behaviour import Behaviour
from loadtest.receiver.order_book import Made
from loadtest.receiver.stats import Stats
from loadtest.servers import free_port

SECRETS = "RECEIVER_SECRET"
"""The variable with the secrets of the service."""

_ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Receiver:
    """A running order service. Its methods raise `ProcessFailed` if it does not answer."""

    process: Process
    port: int

    @property
    def url(self) -> str:
        """The address that takes orders."""
        return f"http://127.0.0.1:{self.port}/orders"

    def stats(self) -> Stats:
        """Return what it has seen."""
        return msgspec.json.decode(self._get("/stats"), type=Stats)

    def orders(self) -> list[Made]:
        """Return the orders that it made, in the order of time."""
        return msgspec.json.decode(self._get("/orders"), type=list[Made])

    def behave(self, behaviour: Behaviour) -> None:
        """Make it misbehave from now on; by default it does so no more."""
        request = Request(
            f"http://127.0.0.1:{self.port}/behaviour", msgspec.json.encode(behaviour), method="PUT"
        )
        urlopen(request, timeout=_ANSWER_SECONDS).close()  # noqa: S310 our own

    def _get(self, path: str) -> str:
        body = get(f"http://127.0.0.1:{self.port}{path}", _ANSWER_SECONDS)
        if body is None:
            raise ProcessFailed(f"the receiver does not answer: {self.process.output[-2000:]}")
        return body


@contextmanager
def receiver(
    folder: Path, options: Sequence[str] = (), secret: str | None = None, port: int | None = None
) -> Iterator[Receiver]:
    """Run the service while the context is entered, with options of its command line.

    With a `secret` it takes signed messages, else the orders of shoppers. Raises `ProcessFailed`.
    """
    port = port or free_port()
    environment = {} if secret is None else {SECRETS: secret}
    command = ["loadtest.receiver", "--port", str(port), *options]
    with process(command, folder / f"receiver-{port}.log", environment) as started:
        started.await_url(f"http://127.0.0.1:{port}/stats")
        yield Receiver(started, port)
