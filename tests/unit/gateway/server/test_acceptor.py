"""All waiting connections are accepted at once, and none is lost."""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import pytest
import uvloop

from gateway.server.acceptor import accept_connections

WAITING = 200
SO_LOCK_FILTER = 44  # asm-generic/socket.h
TURNS = 20


class Greeter(asyncio.Protocol):
    """Counts the accepted connections, and greets each."""

    accepted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        type(self).accepted += 1
        transport = cast("asyncio.Transport", transport)
        transport.write(b"in")
        transport.close()


@pytest.fixture
def greeter() -> type[Greeter]:
    return type("Counted", (Greeter,), {})


@contextmanager
def waiting(address: tuple[str, int], count: int) -> Iterator[list[socket.socket]]:
    """Open connections that the kernel has accepted and the process has not."""
    with ExitStack() as exits:
        yield [exits.enter_context(socket.create_connection(address)) for _ in range(count)]


def on_uvloop(main: Callable[[], object]) -> None:
    """Run on uvloop, as in production: its own server accepts one connection a turn."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def test_all_waiting_connections_are_accepted_after_a_few_turns_of_the_loop(
    greeter: type[Greeter],
) -> None:
    async def main() -> None:
        async with accept_connections("127.0.0.1", 0, greeter) as address:
            with waiting(address, WAITING):
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                assert greeter.accepted == WAITING

    on_uvloop(main)


def test_each_client_is_answered_on_its_own_connection(greeter: type[Greeter]) -> None:
    async def main() -> None:
        async with accept_connections("127.0.0.1", 0, greeter) as address:
            with waiting(address, 3) as connections:
                await until(lambda: greeter.accepted == 3)
                heard = [
                    await asyncio.to_thread(connection.recv, 9, socket.MSG_WAITALL)
                    for connection in connections
                ]
                assert heard == [b"in"] * 3

    on_uvloop(main)


def test_a_connection_waits_while_no_descriptor_is_left_and_is_then_accepted(
    greeter: type[Greeter], monkeypatch: pytest.MonkeyPatch
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
            async with accept_connections("127.0.0.1", 0, greeter) as address:
                with waiting(address, 2):
                    await until(lambda: greeter.accepted == 2)

    on_uvloop(main)


def test_connections_that_wait_at_the_end_are_accepted_and_later_ones_are_not(
    greeter: type[Greeter],
) -> None:
    async def main() -> None:
        listening = accept_connections("127.0.0.1", 0, greeter, handshake_seconds=0.2)
        late: list[socket.socket] = []
        with ExitStack() as exits:
            async with listening as address:
                # Nothing is accepted before the next turn of the loop.
                exits.enter_context(waiting(address, WAITING))
                asyncio.get_running_loop().call_later(0.1, connect_late, address, late)
            await until(lambda: greeter.accepted == WAITING)
            with late[0], pytest.raises(ConnectionRefusedError):
                # The kernel sends the first packet again after a second.
                await asyncio.get_running_loop().sock_connect(late[0], address)

    on_uvloop(main)


def connect_late(address: tuple[str, int], opened: list[socket.socket]) -> None:
    opened.append(late := socket.socket())
    late.setblocking(False)
    assert late.connect_ex(address) == errno.EINPROGRESS


def test_the_port_is_free_after_the_end(greeter: type[Greeter]) -> None:
    async def main() -> None:
        async with accept_connections("127.0.0.1", 0, greeter) as address:
            pass
        async with accept_connections(*address, greeter) as again:
            assert again == address

    on_uvloop(main)


def test_a_taken_port_is_an_error_that_names_the_port(greeter: type[Greeter]) -> None:
    async def main() -> None:
        async with accept_connections("127.0.0.1", 0, greeter) as address:
            with pytest.raises(OSError, match=str(address[1])):
                async with accept_connections(*address, greeter):
                    pass

    on_uvloop(main)


def test_a_kernel_that_refuses_the_filter_does_not_keep_the_waiting_from_being_accepted(
    greeter: type[Greeter], monkeypatch: pytest.MonkeyPatch
) -> None:
    create_server = socket.create_server

    def locked(*arguments: Any, **options: Any) -> socket.socket:
        """Refuse filters by EPERM, as some kernels do to all but root."""
        listener = create_server(*arguments, **options)
        listener.setsockopt(socket.SOL_SOCKET, SO_LOCK_FILTER, 1)
        return listener

    async def main() -> None:
        monkeypatch.setattr("gateway.server.acceptor.socket.create_server", locked)
        with ExitStack() as exits:
            async with accept_connections("127.0.0.1", 0, greeter) as address:
                exits.enter_context(waiting(address, WAITING))
            await until(lambda: greeter.accepted == WAITING)

    on_uvloop(main)
