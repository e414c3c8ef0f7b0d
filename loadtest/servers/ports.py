"""Ports for servers that are to listen, also where several processes look for some at once."""

import atexit
import os
import random
import socket
from collections.abc import Iterator
from functools import cache
from itertools import cycle

# Outgoing connections get the ports from 32768 on.
_BLOCKS = range(10_000, 32_700, 100)


def free_port() -> int:
    """A loopback port at which nobody listens, and that nobody else is given.

    A server that is to listen a second later, or again after a restart, would find a port taken
    that was only free a moment ago: by somebody's connection, or by a server of another process
    that looked at the same time. Raises `OSError` if there is none.
    """
    own = _ports(os.getpid())
    for _ in range(_BLOCKS.step):
        port = next(own)
        if (bound := _bound(port)) is not None:
            bound.close()
            return port
    raise OSError("no port is free here")


@cache
def _ports(_: int) -> Iterator[int]:
    """The ports of this process, again and again: a port comes back as late as can be."""
    for first in random.sample(_BLOCKS, len(_BLOCKS)):
        # Who has bound the first port of a block has the block, until it ends.
        if (holder := _bound(first, shared=False)) is not None:
            atexit.register(holder.close)
            return cycle(range(first + 1, first + _BLOCKS.step))
    raise OSError("no hundred ports in a row are free here")


def _bound(port: int, shared: bool = True) -> socket.socket | None:
    """A socket that is bound to that port, unless it is taken."""
    probe = socket.socket()
    if shared:  # with connections that a server left there when it ended
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        probe.close()
        return None
    return probe
