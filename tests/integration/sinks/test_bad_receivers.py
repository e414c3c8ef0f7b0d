"""Whatever a receiver does is an answer: in bounded time, in bounded memory, and counted."""

import asyncio
import gzip
import time
import tracemalloc

import pytest
from prometheus_client import CollectorRegistry

from flashsale.domain.delivery.answers import (
    Answer,
    Busy,
    Refused,
    Taken,
    Trouble,
    TryAgain,
    Undeliverable,
)
from flashsale.domain.order_states import Reason
from flashsale.observability.delivery_metrics import DeliveryMetrics
from tests.integration.sinks.bad_receivers import (
    A_CHUNK,
    CHUNKED,
    GZIP_BOMB,
    Behaviour,
    Exchange,
    an_answer,
    answers,
    for_ever,
    receiving,
    redirects_to_itself,
    resets,
    sends_100_megabytes,
    then_closes,
    then_hangs,
)
from tests.unit.sinks.parcels import a_parcel, parcels

TIMEOUT = 0.5
MOST_MEMORY = 3_000_000
"""In bytes: what one request may take, the test's own server included."""
MOST_SENT = 8_000_000
"""In bytes: what fits into the buffers of the kernel until the client has closed."""

REF = b'{"order_ref": "A-1"}'
TWENTY = b"Content-Length: 20\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def undecided(trouble: Trouble, words: str) -> TryAgain:
    return TryAgain(words, unknown=True, trouble=trouble)


TIMED_OUT = undecided(Trouble.TIMEOUT, "no answer within 0.5 s")
DISCONNECTED = undecided(Trouble.BROKEN_OFF, "the connection broke off (ServerDisconnectedError)")
CUT_OFF = undecided(Trouble.BROKEN_OFF, "the connection broke off (ClientPayloadError)")
NOT_HTTP = undecided(Trouble.MALFORMED, "what came is no answer of HTTP (HttpProcessingError)")
SERVER_ERROR = undecided(Trouble.SERVER_ERROR, "the receiver answers 500")

Lines = dict[str, tuple[Behaviour, Answer]]

TABLE: dict[str, Lines] = {
    "taken": {
        "200 to everything": (answers(200), Taken()),
        "a reference": (answers(201, REF), Taken("A-1")),
        "204": (lambda exchange: exchange.write(b"HTTP/1.1 204 Done\r\n\r\n"), Taken()),
        "wrong JSON": (answers(200, b'{"order_ref": '), Taken()),
        "HTML": (answers(200, b"<html>", kind="text/html"), Taken()),
        "JSON as HTML": (answers(200, REF, kind="text/html"), Taken()),
        "JSON as text": (answers(200, REF, kind="text/plain; charset=x"), Taken("A-1")),
        "JSON of a kind": (answers(200, REF, kind="application/hal+json"), Taken("A-1")),
        "100 MB": (sends_100_megabytes, Taken()),
        "an endless body": (for_ever(A_CHUNK, first=CHUNKED), Taken()),
        "a reference in gzip": (
            answers(200, gzip.compress(REF), "Content-Encoding: gzip"),
            Taken(),
        ),
        "a gzip bomb": (answers(200, GZIP_BOMB, "Content-Encoding: gzip"), Taken()),
    },
    "refused": {
        "a problem": (
            answers(422, b'{"type": "/problems/sold-out"}', kind="application/problem+json"),
            Refused(Reason.SOLD_OUT),
        ),
    },
    "timeout": {
        "no answer": (then_hangs(), TIMED_OUT),
        "hangs in the status": (then_hangs(b"HTTP/1.1 20"), TIMED_OUT),
        "hangs after the headers": (then_hangs(HEAD, TWENTY), TIMED_OUT),
        "hangs in the body": (then_hangs(HEAD, TWENTY, REF[:5]), TIMED_OUT),
        "drops of a body": (for_ever(b"1\r\n \r\n", first=CHUNKED, pause=0.01), TIMED_OUT),
        "drops of a header": (for_ever(b"x", first=HEAD + b"X: ", pause=0.01), TIMED_OUT),
        "interim answers for ever": (
            for_ever(b"HTTP/1.1 103 Early Hints\r\n\r\n", pause=0.01),
            TIMED_OUT,
        ),
    },
    "broken_off": {
        "closes": (then_closes(), DISCONNECTED),
        "closes in the headers": (then_closes(HEAD), DISCONNECTED),
        "closes in the body": (then_closes(HEAD, TWENTY, REF[:5]), CUT_OFF),
        "closes in a chunk": (then_closes(CHUNKED, A_CHUNK[:100]), CUT_OFF),
        "resets": (resets, DISCONNECTED),
    },
    "malformed": {
        "an endless header": (for_ever(b"x" * 4096, first=HEAD + b"X: "), NOT_HTTP),
        "endless headers": (for_ever(b"X: y\r\n", first=HEAD), NOT_HTTP),
        "a chunk without a size": (then_hangs(CHUNKED, b"ZZZ\r\n"), NOT_HTTP),
        "two lengths": (then_hangs(HEAD, b"Content-Length: 1\r\n", TWENTY), NOT_HTTP),
        "a status of no kind": (
            answers(999),
            undecided(Trouble.MALFORMED, "the receiver answers 999"),
        ),
        "switches to another protocol": (
            then_hangs(b"HTTP/1.1 101 So\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
            undecided(Trouble.MALFORMED, "the receiver answers 101"),
        ),
        "another protocol": (then_hangs(b"SSH-2.0-OpenSSH_9.2\r\n"), NOT_HTTP),
    },
    "undeliverable": {
        "redirects to itself": (redirects_to_itself, Undeliverable("the receiver answers 307")),
        "404": (answers(404, b"<html>"), Undeliverable("the receiver answers 404")),
    },
    "server_error": {"500": (answers(500), SERVER_ERROR)},
    "busy": {
        "503": (answers(503), Busy("the receiver answers 503")),
        "for seconds": (
            answers(429, b"", "Retry-After: 3"),
            Busy("the receiver answers 429", 3.0),
        ),
        "for hours": (
            answers(503, b"", "Retry-After: 7200"),
            Busy("the receiver answers 503", 60.0),
        ),
        "in its own words": (
            answers(429, b"", "Retry-After: soon"),
            Busy("the receiver answers 429"),
        ),
    },
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, lines in TABLE.items() for name in lines]
)
async def test_each_line_of_the_table_holds_in_bounded_time_and_memory(
    kind: str, name: str
) -> None:
    behaviour, answer = TABLE[kind][name]
    async with receiving(behaviour, timeout=TIMEOUT) as (receiver, seen):
        tracemalloc.start()
        try:
            began = time.perf_counter()
            got = await receiver.send([a_parcel()])
            seconds = time.perf_counter() - began
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert list(got) == [answer]
    assert seconds < TIMEOUT + 2.0
    assert most < MOST_MEMORY
    assert seen.bytes_sent < MOST_SENT
    assert len(seen.requests) == 1
    metrics = DeliveryMetrics(registry := CollectorRegistry())
    metrics.answered(got, seconds)
    counted = registry.get_sample_value("flashsale_sink_attempts_total", {"answer": kind})
    assert counted == 1


async def test_a_retry_after_may_be_a_date() -> None:
    async def behave(exchange: Exchange) -> None:
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 20))
        await exchange.write(an_answer(503, b"", f"Retry-After: {date}"))

    async with receiving(behave) as (receiver, _):
        (answer,) = await receiver.send([a_parcel()])
    assert isinstance(answer, Busy)
    assert answer.seconds is not None
    assert 17 < answer.seconds <= 20


async def test_the_answer_to_a_batch_may_be_4_kib_an_order() -> None:
    item = b'{"status": 200, "order_ref": "A", "note": "' + b"x" * 4_000 + b'"}'
    body = b"[" + b",".join([item] * 50) + b"]"
    async with receiving(answers(200, body), batch=50) as (receiver, _):
        assert await receiver.send(parcels(50)) == [Taken("A")] * 50
    async with receiving(answers(200, b" " * 210_000 + body), batch=50) as (receiver, _):
        got = await receiver.send(parcels(50))
    assert {answer.trouble for answer in got if isinstance(answer, TryAgain)} == {Trouble.MALFORMED}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("broken_off", "resets"),
        ("timeout", "no answer"),
        ("server_error", "500"),
        ("undeliverable", "redirects to itself"),
    ],
)
async def test_a_bad_answer_to_a_batch_is_for_each_of_its_orders(kind: str, name: str) -> None:
    behaviour, answer = TABLE[kind][name]
    async with receiving(behaviour, timeout=TIMEOUT, batch=3) as (receiver, _):
        assert list(await receiver.send(parcels(3))) == [answer] * 3


@pytest.mark.parametrize("name", ["100 MB", "a gzip bomb", "HTML", "200 to everything", "204"])
async def test_a_2xx_without_one_answer_for_each_order_decides_nothing(name: str) -> None:
    behaviour, _ = TABLE["taken"][name]
    async with receiving(behaviour, batch=3) as (receiver, _):
        got = await receiver.send(parcels(3))
    words = "the answer to a batch is not an array of answers that each have a status"
    assert got == [undecided(Trouble.MALFORMED, words)] * 3


async def test_a_receiver_that_breaks_off_is_asked_again_by_the_next_attempt_only() -> None:
    # A client that repeats a request by itself would break the pace, unseen.
    async def first_only(exchange: Exchange) -> None:
        if len(exchange.others.requests) % 2:
            await exchange.write(an_answer(200))
        else:
            exchange.writer.close()

    async with receiving(first_only) as (receiver, seen):
        got = [(await receiver.send([a_parcel()]))[0] for _ in range(6)]
    assert [type(answer) for answer in got] == [Taken, TryAgain] * 3
    assert len(seen.requests) == 6


async def test_a_request_that_is_given_up_frees_its_connection() -> None:
    async with receiving(then_hangs()) as (receiver, seen):
        sending = asyncio.create_task(receiver.send([a_parcel()]))
        while not seen.requests:
            await asyncio.sleep(0.005)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        while seen.open:
            await asyncio.sleep(0.005)
