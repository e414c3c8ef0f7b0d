"""The memory of the limits: bytes for each client, and whether the table keeps to its bound."""

import tracemalloc
from dataclasses import dataclass

from gateway.limits.client_address import ClientKeys, parse_address
from gateway.limits.client_limit import SharedLimit

_CLIENTS = 100_000
_RATE, _BURST = 0.01, 1


@dataclass(frozen=True)
class Memory:
    """Bytes for each client whose requests were allowed, and the entries after a flood of them."""

    bytes_per_client: int
    bytes_per_refused_client: int
    clients_after_flood: int


def memory() -> Memory:
    """Measure a limit of 100,000 clients with IPv6 addresses, the longest keys of addresses."""
    keys = ClientKeys(64)
    tracemalloc.start()
    try:
        limit = SharedLimit("order", _RATE, _BURST, 2 * _CLIENTS)
        before, _ = tracemalloc.get_traced_memory()
        _come(limit, keys, 0, _CLIENTS)
        allowed, _ = tracemalloc.get_traced_memory()
        _come(limit, keys, 0, _CLIENTS)  # each is refused now, and promised a moment
        refused, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    bounded = SharedLimit("order", _RATE, _BURST, _CLIENTS)
    _come(bounded, keys, 0, 5 * _CLIENTS)
    return Memory(
        bytes_per_client=round((allowed - before) / _CLIENTS),
        bytes_per_refused_client=round((refused - before) / _CLIENTS),
        clients_after_flood=len(bounded),
    )


def _come(limit: SharedLimit, keys: ClientKeys, first: int, count: int) -> None:
    for number in range(first, first + count):
        address = parse_address(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1")
        assert address is not None  # noqa: S101 it is one
        limit.take(keys.of_address(address), float(number) / count)
        if number % 1000 == 0:
            limit.untold()  # as the announcements do every 50 ms
    limit.untold()
