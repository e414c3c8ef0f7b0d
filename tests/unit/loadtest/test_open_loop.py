import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from loadtest.load.connections import read_answer
from loadtest.load.open_loop import Attempt, Outcome, open_loop, orders, percentiles_ms
from loadtest.load.shapes import Load, SpikeShape

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def a_server(handler: Handler) -> AsyncIterator[str]:
    """Run a server on loopback; yield its URL."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/orders"


class Server:
    """Answers every order with a status, after `before`."""

    def __init__(self, status: str = "202 Accepted", headers: str = "") -> None:
        self.answer = f"HTTP/1.1 {status}\r\n{headers}Content-Length: 2\r\n\r\n{{}}".encode()
        self.bodies: list[bytes] = []
        self.keys: set[bytes] = set()

    async def before(self) -> None:
        """Wait before the answer; here not at all."""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            self.bodies.append(await reader.readexactly(length))
            self.keys.add(head.lower().split(b"idempotency-key: ")[1].split(b"\r\n")[0])
            await self.before()
            writer.write(self.answer)


class StallingServer(Server):
    """Stalls all connections once, in the middle, for so many seconds, as a real stall does."""

    def __init__(self, at: int, seconds: float) -> None:
        super().__init__()
        self._at = at
        self._seconds = seconds
        self._running = asyncio.Event()
        self._running.set()

    async def before(self) -> None:
        if len(self.bodies) == self._at:
            self._running.clear()
            await asyncio.sleep(self._seconds)
            self._running.set()
        await self._running.wait()


async def run(url: str, load: Load) -> Outcome:
    return await open_loop(url, load, orders(url, "tv", len(load.schedule())))


async def test_every_order_is_sent_once_under_its_own_key_and_answered() -> None:
    server = Server()
    async with a_server(server) as url:
        outcome = await run(url, Load(rate=1000, seconds=0.3))
    assert outcome.sent == len(server.bodies) == len(server.keys) == len(set(server.bodies)) == 300
    assert outcome.statuses == {202: 300}
    assert outcome.unanswered == 0


async def test_every_attempt_is_listed_with_its_answer() -> None:
    attempts: list[Attempt] = []
    shape = SpikeShape(rate=200, seconds=0.5, base=20, before=0.5, after=0.5)
    async with a_server(Server("503 Service Unavailable")) as url:
        await open_loop(url, shape, orders(url, "tv", len(shape.schedule())), attempts)
    assert [each.status for each in attempts] == [503] * 120
    assert all(each.sent >= each.due and each.seconds > 0 for each in attempts)
    assert [each.due for each in attempts] == sorted(each.due for each in attempts)


def test_a_spike_has_a_calm_before_and_after_it() -> None:
    due = SpikeShape(rate=100, seconds=2, base=10, before=1, after=3).schedule()
    counts = [sum(second <= moment < second + 1 for moment in due) for second in range(6)]
    assert counts == [10, 100, 100, 10, 10, 10]


def test_a_spike_over_a_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 8,192"):
        SpikeShape(rate=10, seconds=1, connections=10_000).schedule()


async def test_a_stall_is_paid_by_every_request_that_was_due_in_it() -> None:
    async with a_server(StallingServer(at=100, seconds=0.5)) as url:
        outcome = await run(url, Load(rate=200, seconds=2))
    # 100 of 400 requests were due in the stall. They waited up to 500 ms, 40 of them more than
    # 300 ms. In the percentiles of a closed loop this would be a single request.
    assert outcome.statuses == {202: 400}
    assert outcome.latency_ms["p90"] > 200
    assert outcome.latency_ms["p99"] > 400


async def test_a_stall_that_has_every_connection_counts_from_when_requests_were_due() -> None:
    async with a_server(StallingServer(at=10, seconds=0.5)) as url:
        outcome = await run(url, Load(rate=200, seconds=1, connections=2))
    assert outcome.statuses == {202: 200}
    assert outcome.at_once <= 2
    assert outcome.held > 50
    assert outcome.latency_ms["p99"] > 400
    # The server was late, not the generator.
    assert outcome.late_ms["p50"] < outcome.latency_ms["p50"]


async def test_connections_are_used_again_and_grow_while_all_are_busy() -> None:
    server = Server()
    async with a_server(server) as url:
        calm = await run(url, Load(rate=100, seconds=0.3))
    async with a_server(StallingServer(at=1, seconds=0.4)) as url:
        busy = await run(url, Load(rate=100, seconds=0.3))
    assert calm.at_once < calm.sent
    assert busy.at_once > 10


async def test_an_unanswered_request_counts_with_the_time_it_waited() -> None:
    async with a_server(StallingServer(at=50, seconds=30)) as url:
        outcome = await run(url, Load(rate=200, seconds=0.5, patience=0.3))
    assert outcome.statuses == {202: 49}
    assert outcome.unanswered == 51
    assert outcome.latency_ms["p90"] >= 300


async def test_the_open_loop_counts_refusals_as_answers() -> None:
    async with a_server(Server("503 Service Unavailable")) as url:
        outcome = await run(url, Load(rate=200, seconds=0.2))
    assert outcome.statuses == {503: 40}


async def test_a_server_may_close_a_connection_after_its_answer() -> None:
    async with a_server(Server(headers="Connection: close\r\n")) as url:
        outcome = await run(url, Load(rate=200, seconds=0.2))
    assert outcome.statuses == {202: 40}


async def test_broken_connections_are_counted_and_others_opened() -> None:
    class Breaking(Server):
        async def before(self) -> None:
            if len(self.bodies) % 10 == 0:
                raise ConnectionResetError

    async with a_server(Breaking()) as url:
        outcome = await run(url, Load(rate=200, seconds=0.2))
    assert outcome.statuses == {0: 4, 202: 36}


async def test_random_gaps_keep_the_mean_rate() -> None:
    load = Load(rate=1000, seconds=10, poisson=True)
    schedule = load.schedule()
    assert len(schedule) == pytest.approx(10_000, rel=0.05)
    assert schedule == sorted(schedule) == load.schedule()
    gaps = [after - before for before, after in pairwise(schedule)]
    # A share of 1 - 1/e of exponential gaps is shorter than the mean.
    assert sum(gap < 0.001 for gap in gaps) / len(gaps) == pytest.approx(0.632, rel=0.05)


@pytest.mark.parametrize(
    "load",
    [
        Load(rate=0, seconds=1),
        Load(rate=100_000, seconds=100),
        Load(rate=1, seconds=1_000),
        Load(rate=1, seconds=1, connections=100_000),
        Load(rate=1, seconds=1, patience=1_000),
    ],
)
def test_load_is_bounded(load: Load) -> None:
    with pytest.raises(ValueError, match="must be more than 0 and at most"):
        load.schedule()


async def test_a_load_too_short_for_a_request_is_an_error() -> None:
    with pytest.raises(ValueError, match="no request is due"):
        await run("http://127.0.0.1:1/orders", Load(rate=1, seconds=0.1))


async def test_load_stays_on_this_machine() -> None:
    load = Load(rate=1, seconds=1)
    with pytest.raises(ValueError, match="load must stay on this machine"):
        await open_loop("http://192.0.2.1/orders", load, [b""])


async def test_an_open_loop_without_a_server_is_an_error() -> None:
    async with a_server(Server()) as url:
        pass
    with pytest.raises(ConnectionRefusedError):
        await run(url, Load(rate=1, seconds=1))


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentiles_ms([n / 1000 for n in range(1, 1001)]) == {
        "p50": 500,
        "p90": 900,
        "p99": 990,
        "p99.9": 999,
        "max": 1000,
    }


def test_an_answer_is_parsed_once_it_is_complete() -> None:
    answer = b"HTTP/1.1 202 Accepted\r\nContent-Type: x\r\ncontent-length: 5\r\n\r\n12345"
    for cut in range(len(answer)):
        assert read_answer(answer[:cut]) is None
    assert read_answer(answer) == (202, True)


def test_an_answer_without_a_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="not an answer"):
        read_answer(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n")
