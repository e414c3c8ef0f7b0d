"""All who wait at the door are let in at once, and nobody is lost there."""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import cast

import pytest
import uvloop

from gateway.server.acceptor import listening

WAITING = 200
TURNS = 20


class Guest(asyncio.Protocol):
    """Counts those who are in, and says so to each."""

    inside = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        type(self).inside += 1
        transport = cast("asyncio.Transport", transport)
        transport.write(b"in")
        transport.close()


@pytest.fixture
def guest() -> type[Guest]:
    return type("Counted", (Guest,), {})


@contextmanager
def waiting(address: tuple[str, int], count: int) -> Iterator[list[socket.socket]]:
    """Connections that the kernel has taken and nobody else yet."""
    with ExitStack() as exits:
        yield [exits.enter_context(socket.create_connection(address)) for _ in range(count)]


def on_uvloop(main: Callable[[], object]) -> None:
    """As in production; it is uvloop's server that lets in one connection a turn."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def test_all_who_wait_are_in_after_a_few_turns_of_the_loop(guest: type[Guest]) -> None:
    async def main() -> None:
        with listening("127.0.0.1", 0, guest) as address, waiting(address, WAITING):
            for _ in range(TURNS):
                await asyncio.sleep(0)
            assert guest.inside == WAITING

    on_uvloop(main)


def test_each_is_answered_on_a_connection_of_its_own(guest: type[Guest]) -> None:
    async def main() -> None:
        with listening("127.0.0.1", 0, guest) as address, waiting(address, 3) as connections:
            await until(lambda: guest.inside == 3)
            heard = [
                await asyncio.to_thread(connection.recv, 9, socket.MSG_WAITALL)
                for connection in connections
            ]
            assert heard == [b"in"] * 3

    on_uvloop(main)


def test_who_comes_while_no_descriptor_is_left_waits_and_gets_in(
    guest: type[Guest], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exhausted(socket.socket):
        left = 1

        def accept(self) -> tuple[socket.socket, object]:
            if self.left:
                self.left -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    def create_server(address: tuple[str, int], **_: object) -> socket.socket:
        listener = Exhausted()
        listener.bind(address)
        listener.listen()
        return listener

    async def main() -> None:
        with monkeypatch.context() as patched:
            patched.setattr("gateway.server.acceptor._PAUSE_SECONDS", 0.05)
            patched.setattr("gateway.server.acceptor.socket.create_server", create_server)
            with listening("127.0.0.1", 0, guest) as address, waiting(address, 2):
                await until(lambda: guest.inside == 2)

    on_uvloop(main)


def test_the_port_is_free_again_after_the_end(guest: type[Guest]) -> None:
    async def main() -> None:
        with listening("127.0.0.1", 0, guest) as address:
            pass
        with listening(*address, guest) as again:
            assert again == address

    on_uvloop(main)


def test_a_taken_port_is_an_error_that_names_it(guest: type[Guest]) -> None:
    async def main() -> None:
        with (
            listening("127.0.0.1", 0, guest) as address,
            pytest.raises(OSError, match=str(address[1])),
            listening(*address, guest),
        ):
            pass

    on_uvloop(main)
