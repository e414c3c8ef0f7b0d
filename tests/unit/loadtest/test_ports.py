"""Free ports for servers of tests and benchmarks."""

import socket
import subprocess
import sys

from loadtest.servers import free_port

A_HUNDRED = 100


def test_a_free_port_is_reused_as_late_as_possible() -> None:
    ports = [free_port() for _ in range(A_HUNDRED // 2)]
    assert len(set(ports)) == len(ports)


def test_a_port_with_a_listener_is_not_free() -> None:
    taken = free_port()
    with socket.create_server(("127.0.0.1", taken)):
        assert taken not in {free_port() for _ in range(2 * A_HUNDRED)}


def test_two_processes_never_get_the_same_free_port() -> None:
    ask = "from loadtest.servers import free_port\nfor _ in range(200): print(free_port())\ninput()"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ask], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    given = [{free_port() for _ in range(2 * A_HUNDRED)}]
    for process in processes:
        assert process.stdout is not None
        given.append({int(process.stdout.readline()) for _ in range(2 * A_HUNDRED)})
    for process in processes:
        process.communicate("\n", timeout=20)
    assert sum(map(len, given)) == len(set().union(*given))
