"""What was seen of a sale, a line an observation: the evidence that `flashsale check` judges.

Shoppers write what they were told, the drain of a test run what it did. Moments are seconds on the
machine's monotonic clock, which all of its processes share, so that a clock that is set by an hour
changes no verdict. A file holds the lines of one process or of several, in any order.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from flashsale.domain.errors import FlashsaleError

NO_ANSWER = 0
"""The status of a request that was cut off or not answered in time."""


class HistoryError(FlashsaleError):
    """A history that can't be read. The message names the file and the line."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="event"):
    """An observation; `at` is when it began."""

    at: float


class Asked(Line, frozen=True, tag="asked"):
    """A shopper sent an order, and this was the answer, `seconds` later.

    `body` is the hash of what was sent, and `by` the gateway's address. Without a key, `key` is
    empty.
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


class Looked(Line, frozen=True, tag="looked"):
    """A shopper asked for an order's state, and this was the answer, `seconds` later.

    `state` is empty unless `status` is 200.
    """

    seconds: float
    order_id: str
    status: int
    state: str = ""
    by: str = ""


class Released(Line, frozen=True, tag="released"):
    """A drain let `count` orders go to the database, for the first time or again."""

    count: int
    process: int


class Committed(Line, frozen=True, tag="committed"):
    """A drain's transaction is committed: the state of each order by its id."""

    process: int
    states: dict[str, str]


class Acked(Line, frozen=True, tag="acked"):
    """A drain acknowledges the deliveries of these orders from now on."""

    process: int
    orders: list[str]


Observation = Asked | Looked | Released | Committed | Acked

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Observation).decode


def encode_line(observation: Observation) -> bytes:
    """One line of a history, with its end."""
    return _encode(observation) + b"\n"


def body_hash(body: bytes) -> str:
    """What stands for a body in a history."""
    return hashlib.sha256(body).hexdigest()[:16]


def read_history(paths: Iterable[Path]) -> Iterator[Observation]:
    """All observations of these files, and of the `*.jsonl` in these folders.

    Raises `HistoryError`. A last line without its end is the one that a killed process was at,
    and is left out.
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
