"""Fewer system calls for pika's transport of a connection without TLS.

Before each write pika waits for a turn of the event loop, until the socket takes data. It reads
4 KB at a time, until there is nothing more. A transport with TLS is left alone: it may hold data
that the socket does not show. The names are private, so pyproject.toml pins pika's minor version.
"""

from contextlib import suppress
from typing import Any

from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport

_READ_BYTES = 64 * 1024
_MOST_BYTES = 1024 * 1024


def is_plain(transport: Any) -> bool:
    """Return whether it is a transport without TLS."""
    return isinstance(transport, _AsyncPlaintextTransport)


def read_once(transport: Any) -> None:
    """Read once for each event: the event loop tells if there is more."""
    if is_plain(transport):
        transport._MAX_RECV_BYTES = _READ_BYTES
        transport._MAX_CONSUME_BYTES = 1


def read_all(transport: Any) -> None:
    """Read for each event until there is nothing more, or 1 MB."""
    if is_plain(transport):
        transport._MAX_CONSUME_BYTES = _MOST_BYTES


def send(transport: Any, data: bytes) -> None:
    """Send what the kernel takes now, and leave the rest to pika, errors as well."""
    sent = 0
    if (
        is_plain(transport)
        and transport._state == transport._STATE_ACTIVE
        and not transport.get_write_buffer_size()
    ):
        # After an error pika's own attempt waits, or ends the connection with the same error.
        with suppress(OSError):
            sent = transport._sock.send(data)
    if sent < len(data):
        transport.write(data[sent:])
