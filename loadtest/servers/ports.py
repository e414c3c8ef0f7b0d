"""Allocate free ports for servers, without conflicts between processes."""

import atexit
import os
import random
import socket
from collections.abc import Iterator
from functools import cache
from itertools import cycle

# Below 32768, where the ports of outgoing connections start.
_BLOCKS = range(10_000, 32_700, 100)


def free_port() -> int:
    """Return a free loopback port that no other process gets from this function.

    A port that is merely free now may be taken before the server listens, or while it restarts: by
    an outgoing connection, or by a server of another process. Raises `OSError` if there is none.
    """
    own = _ports(os.getpid())
    for _ in range(_BLOCKS.step):
        port = next(own)
        if (bound := _try_bind(port)) is not None:
            bound.close()
            return port
    raise OSError("no port is free here")


@cache
def _ports(_: int) -> Iterator[int]:
    """Return the ports of this process in an endless cycle, so that each is reused late."""
    for first in random.sample(_BLOCKS, len(_BLOCKS)):
        # The process that has bound the first port of a block owns the block until it ends.
        if (holder := _try_bind(first, shared=False)) is not None:
            atexit.register(holder.close)
            return cycle(range(first + 1, first + _BLOCKS.step))
    raise OSError("no hundred ports in a row are free here")


def _try_bind(port: int, shared: bool = True) -> socket.socket | None:
    """Return a socket bound to the port; None if the port is taken."""
    probe = socket.socket()
    if shared:  # allow a port with connections in TIME_WAIT of a former server
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        probe.close()
        return None
    return probe
