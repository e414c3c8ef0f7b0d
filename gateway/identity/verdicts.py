"""Remember whose token is which, so that a token is checked once and not for each request."""

from collections import OrderedDict
from hashlib import blake2s

MOST_TOKENS = 100_000
"""About 300 bytes each."""
LONGEST_SECONDS = 300.0
"""A token of a key that does not count any more is refused after this time at the latest."""


class Verdicts:
    """The customers of the latest tokens that were found good, by the hashes of the tokens.

    A header may hold any bytes. BLAKE2 is as strong as SHA-256, and faster for so few bytes.

    Bad tokens are not remembered: nobody can push the good ones out by sending many bad ones.
    """

    def __init__(self, most: int = MOST_TOKENS) -> None:
        self._most = most
        # The oldest first.
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, credentials: str, now: float) -> str | None:
        """Return the customer of a token, None if it is to be checked; `now` is monotonic.

        `credentials` are the whole value of its header.
        """
        digest = blake2s(credentials.encode(errors="surrogateescape")).digest()
        known = self._known.get(digest)
        return known[0] if known is not None and now < known[1] else None

    def keep(self, credentials: str, customer_id: str, now: float, seconds: float) -> None:
        """Remember the customer of a token that is good for so many seconds."""
        digest = blake2s(credentials.encode(errors="surrogateescape")).digest()
        self._known.pop(digest, None)  # so that it becomes the latest
        self._known[digest] = customer_id, now + min(seconds, LONGEST_SECONDS)
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def forget(self) -> None:
        """Forget everything: a key does not count any more."""
        self._known.clear()
