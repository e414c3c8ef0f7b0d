"""Where a receiver is, and how it wants its orders."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReceiverAddress:
    """An address of a shop's order service, and the terms of the requests to it."""

    url: str = field(repr=False)
    """An absolute http or https URL. It may hold a secret in its query."""
    key: bytes = field(repr=False)
    """By which each request is signed."""
    concurrency: int = 64
    """Most connections, so most requests at once."""
    timeout_seconds: float = 10.0
    """From the start of a request to the end of its answer."""
    batch: int | None = None
    """Most orders in a request. None or 1: one order a request, which is no array."""

    @property
    def batched(self) -> bool:
        """Whether each request is an array, also one of a single order."""
        return self.batch is not None and self.batch > 1
