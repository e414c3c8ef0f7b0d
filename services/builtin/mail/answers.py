"""What the answers of a mail server mean for a letter, and for all letters."""

import re
from typing import Literal

from flashsale.domain.errors import FlashsaleError
from services.errors import GiveUp, Later, Unavailable

Stage = Literal["recipient", "letter"]

CLOSING = 421
TOO_LARGE = 552

_NEEDS_LOGIN = frozenset({530, 534, 535, 538})
# 554 says that the transaction failed, whatever the reason.
_OF_RECIPIENTS = frozenset({550, 551, 552, 553})

# RFC 3463: x.1 is about an address, x.2 about a mailbox, x.6 about the content. x.1.7 and x.1.8 are
# about the sender's address, and x.3.4 says that the letter is too large.
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")
_OF_THE_LETTER = re.compile(r"5\.(?:1\.(?![78]\b)|2\.|6\.|3\.4\b)")
_OF_THE_RECIPIENT_NOW = re.compile(r"4\.[12]\.|.*gr[ae]y-?list", re.IGNORECASE | re.DOTALL)
# Words of refusals that are about the client or the sender, where no code says so.
_ABOUT_US = re.compile(
    r"relay|den(?:y|ied)|permit|prohibit|auth|login|block|black|list|spam|polic|reject|limit"
    r"|quota|rate|sender|client|host|tls",
    re.IGNORECASE,
)

_MOST_DOUBTS = 10_000


class InDoubt(FlashsaleError):
    """A refusal for good that may be about this letter, or about all letters of ours."""


def refusal(code: int, message: str, stage: Stage) -> GiveUp | Later | Unavailable | InDoubt:
    """Return what an answer that is no success means for a letter."""
    reason = f"the mail server refuses it: {code} {message}"
    if 500 <= code < 600 and code not in _NEEDS_LOGIN:
        return GiveUp(reason) if _is_of_the_letter(code, message, stage) else InDoubt(reason)
    if _OF_THE_RECIPIENT_NOW.match(message):
        return Later(reason)
    return Unavailable(reason)


def _is_of_the_letter(code: int, message: str, stage: Stage) -> bool:
    if _ENHANCED.match(message):
        return _OF_THE_LETTER.match(message) is not None
    if code == TOO_LARGE:
        return True
    return stage == "recipient" and code in _OF_RECIPIENTS and not _ABOUT_US.search(message)


class Doubts:
    """Judges refusals that may be about one letter or about all, such as "relay access denied".

    A letter is given up only if the server refused it twice and took another one in between.
    """

    def __init__(self) -> None:
        self._taken = 0
        self._refused: dict[str, int] = {}
        """How many letters the server had taken when it refused this one, by event id."""
        self._refused_at = -1

    def took(self, event_id: str) -> None:
        """Note that the server took a letter."""
        self._taken += 1
        self._refused.pop(event_id, None)

    def judge(self, event_id: str, doubt: InDoubt) -> GiveUp | Later | Unavailable:
        """Return what a refusal in doubt means for the letter."""
        reason = str(doubt)
        before = self._refused.pop(event_id, self._taken)
        if before < self._taken:
            return GiveUp(reason)
        if len(self._refused) >= _MOST_DOUBTS:
            del self._refused[next(iter(self._refused))]
        self._refused[event_id] = before
        none_taken_since, self._refused_at = self._refused_at == self._taken, self._taken
        return Unavailable(reason) if none_taken_since else Later(reason)
