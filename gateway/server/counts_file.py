"""What a worker counted, in memory that its parent holds: it survives the worker.

The worker writes its counters and histograms there every 50 ms. If it is killed, its parent has
them all but for the last moment, 100 ms at most.
"""

import asyncio
import os
import struct
import zlib
from collections.abc import Iterator

from prometheus_client import Metric, generate_latest
from prometheus_client.registry import Collector

from flashsale.observability.process_metrics import ProcessRegistry

_WRITE_SECONDS = 0.05

# Two copies are written in turn, so that one is whole if the worker is killed while it writes. The
# file is sparse: a copy takes no more memory than it is long.
_COPIES = 2
_COPY_BYTES = 2**26
_HEADER = struct.Struct(">QII")
"""The number of the copy, its length in bytes, and the CRC-32 of both and of the page."""


class CountsFile:
    """A page of metrics in a file without a name, which ends with the last process that has it."""

    def __init__(self, descriptor: int) -> None:
        """Use the file of that descriptor, as the parent passed it to its worker."""
        self.descriptor = descriptor
        self._number = 0

    @classmethod
    def create(cls) -> "CountsFile":
        """Return a new file in memory. Raises `OSError`."""
        return cls(os.memfd_create("flashsale counts"))

    def write(self, page: bytes) -> None:
        """Replace the older copy. Raises `OSError`."""
        self._number += 1
        header = _HEADER.pack(self._number, len(page), _checksum(self._number, page))
        os.pwrite(self.descriptor, header + page, self._number % _COPIES * _COPY_BYTES)

    def read(self) -> bytes:
        """Return the latest whole page; an empty one if none was written."""
        return max(map(self._copy, range(_COPIES)))[1]

    def _copy(self, index: int) -> tuple[int, bytes]:
        start = index * _COPY_BYTES
        header = os.pread(self.descriptor, _HEADER.size, start)
        if len(header) < _HEADER.size:
            return 0, b""
        number, length, checksum = _HEADER.unpack(header)
        page = os.pread(self.descriptor, length, start + _HEADER.size)
        return (number, page) if checksum == _checksum(number, page) else (0, b"")

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def _checksum(number: int, page: bytes) -> int:
    return zlib.crc32(page, zlib.crc32(f"{number} {len(page)} ".encode()))


class KeptCounts:
    """Keeps what a registry counts in a file."""

    def __init__(self, registry: ProcessRegistry, file: CountsFile) -> None:
        self._counts = _Counts(registry)
        self._file = file

    async def run(self) -> None:
        """Write the counts every 50 ms, for ever."""
        while True:
            self.write()
            await asyncio.sleep(_WRITE_SECONDS)

    def write(self) -> None:
        """Write the counts as they are now."""
        self._file.write(generate_latest(self._counts))


class _Counts(Collector):
    def __init__(self, registry: ProcessRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        return self._registry.counts()
