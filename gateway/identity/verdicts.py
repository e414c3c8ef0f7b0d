"""Remember whose token is which, so that a token is checked once and not for each request."""

import hashlib
from collections import OrderedDict

MOST_TOKENS = 100_000
"""About 300 bytes each."""
LONGEST_SECONDS = 300.0
"""A token of a key that does not count any more is refused after this time at the latest."""


class Verdicts:
    """The customers of the latest tokens that were found good, by the hashes of the tokens.

    Bad tokens are not remembered: nobody can push the good ones out by sending many bad ones.
    """

    def __init__(self, most: int = MOST_TOKENS) -> None:
        self._most = most
        # The oldest first.
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, token: str, now: float) -> str | None:
        """Return the customer of a token, None if it is to be checked; `now` is monotonic."""
        known = self._known.get(_digest(token))
        return known[0] if known is not None and now < known[1] else None

    def keep(self, token: str, customer_id: str, now: float, seconds: float) -> None:
        """Remember the customer of a token that is good for so many seconds."""
        digest = _digest(token)
        self._known[digest] = customer_id, now + min(seconds, LONGEST_SECONDS)
        self._known.move_to_end(digest)
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def forget(self) -> None:
        """Forget everything: a key does not count any more."""
        self._known.clear()


def _digest(token: str) -> bytes:
    # A header may hold any bytes.
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
