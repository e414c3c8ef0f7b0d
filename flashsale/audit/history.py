"""The history of a sale: one observation a line, which `flashsale check --history` judges.

Shoppers record the answers they get; in a test run the drain records what it does. Moments are
seconds on the machine's monotonic clock, which all its processes share, so a change of the wall
clock changes no verdict. A file holds the lines of one or more processes, in any order.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from flashsale.domain.errors import FlashsaleError

NO_ANSWER = 0
"""The status of a request whose connection broke or that was not answered in time."""


class HistoryError(FlashsaleError):
    """A history can't be read. The message names the file and the line."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="event"):
    """An observation. `at` is its start, in seconds on the monotonic clock."""

    at: float


class OrderAttempt(Line, frozen=True, tag="asked"):
    """An order that a shopper sent, and the answer `seconds` later.

    `body` is the hash of the request body, `by` the gateway's address. `key` is empty if the
    request had no Idempotency-Key.
    """

    seconds: float
    sku: str
    customer: str
    key: str
    body: str
    status: int
    order_id: str = ""
    problem: str = ""
    by: str = ""


class StatusPoll(Line, frozen=True, tag="looked"):
    """A request for an order's state, and the answer `seconds` later.

    `state` is empty unless `status` is 200.
    """

    seconds: float
    order_id: str
    status: int
    state: str = ""
    by: str = ""


class Released(Line, frozen=True, tag="released"):
    """A drain released `count` orders to the database, retries included."""

    count: int
    process: int


class Committed(Line, frozen=True, tag="committed"):
    """A drain committed a transaction. `states` maps each order id to the state it got."""

    process: int
    states: dict[str, str]


class Acked(Line, frozen=True, tag="acked"):
    """A drain acknowledges the deliveries of these orders from this moment on."""

    process: int
    orders: list[str]


Observation = OrderAttempt | StatusPoll | Released | Committed | Acked

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Observation).decode


def encode_line(observation: Observation) -> bytes:
    """Return a line of a history, line break included."""
    return _encode(observation) + b"\n"


def body_hash(body: bytes) -> str:
    """Return the hash that represents a request body in a history."""
    return hashlib.sha256(body).hexdigest()[:16]


def read_history(paths: Iterable[Path]) -> Iterator[Observation]:
    """Yield all observations of these files, and of the `*.jsonl` files in these folders.

    Ignore a last line without a line break: a killed process left it. Raises `HistoryError`.
    """
    for path in paths:
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not files:
            raise HistoryError(f"{path}: no *.jsonl in this folder")
        for file in files:
            yield from _read(file)


def _read(file: Path) -> Iterator[Observation]:
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise HistoryError(f"{file}: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        try:
            yield _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if number < len(lines):
                raise HistoryError(f"{file}, line {number}: {error}") from error
