"""How many things each client has open."""

from collections.abc import Iterator
from contextlib import contextmanager


class OpenCounts:
    """Counts what is open by client. A client with nothing open takes no memory."""

    def __init__(self) -> None:
        self._open: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, client: bytes) -> int:
        """Count one more, and return how many the client has open now."""
        count = self._open[client] = self._open.get(client, 0) + 1
        return count

    def closed(self, client: bytes) -> None:
        """Count one less."""
        count = self._open[client] - 1
        if count:
            self._open[client] = count
        else:
            del self._open[client]

    @contextmanager
    def counted(self, client: bytes) -> Iterator[int]:
        """Count one more for a while, and yield how many the client has open then."""
        try:
            yield self.opened(client)
        finally:
            self.closed(client)
