"""The figures of `make bench-brokers` that documents and advice share.

`figures.json` is a copy of the file that the benchmark wrote.
"""

from functools import cache
from importlib.resources import files

import msgspec


class BrokerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one kind of queue. None: it has no bound, or it could not be measured.

    Latencies are in milliseconds. `server_us` is the server's processor time for a confirm in
    microseconds. `accepted_at_5000` are the accepted ones of 20,000 orders in 4 s, of which a
    queue of 2,000 that is drained at 2,000 a second can take 10,000.
    """

    title: str
    version: str
    date: str
    machine: str
    confirmed_per_second: int
    p50_ms: float
    p99_ms: float
    server_us: float
    fsyncs_per_1000: float | None
    accepted_at_5000: int
    p50_ms_at_5000: float
    p99_ms_at_5000: float
    refused_per_second: int | None
    past_bound: int | None
    back_after_kill_seconds: float | None
    lost_by_kill: int | None


@cache
def figures() -> dict[str, BrokerFigures]:
    """Return the figures by the name of the queue, such as `rabbitmq_quorum`."""
    written = files("flashsale.advice").joinpath("figures.json").read_bytes()
    return msgspec.json.decode(written, type=dict[str, BrokerFigures])


COLUMNS = (
    "queue",
    "confirmed/s",
    "p50, p99 ms",
    "server µs each",
    "fsyncs per 1,000",
    "spike: accepted",
    "spike: p50, p99 ms",
    "refused/s",
    "past the bound",
    "back after kill, s",
    "lost by kill",
)


def row(found: BrokerFigures) -> tuple[str, ...]:
    """Return the figures of a queue as the cells under `COLUMNS`."""
    return (
        f"{found.title} ({found.version})",
        f"{found.confirmed_per_second:,}",
        f"{found.p50_ms:,}, {found.p99_ms:,}",
        f"{found.server_us:,}",
        _cell(found.fsyncs_per_1000, "not counted"),
        f"{found.accepted_at_5000:,}",
        f"{found.p50_ms_at_5000:,}, {found.p99_ms_at_5000:,}",
        _cell(found.refused_per_second, "takes all"),
        _cell(found.past_bound, "no bound"),
        _cell(found.back_after_kill_seconds, "over 60"),
        _cell(found.lost_by_kill, "unknown"),
    )


def _cell(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:,}"
