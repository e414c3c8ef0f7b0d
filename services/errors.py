"""The errors by which a handler says what happens to its event. Any other error is a failed try."""

from flashsale.domain.errors import FlashsaleError


class GiveUp(FlashsaleError):
    """No further try can succeed: the event is dead at once."""


class Later(FlashsaleError):
    """This event can't be done now, but others can: it waits aside, and no try is counted."""


class Unavailable(FlashsaleError):
    """The other side takes no events now, whatever is in them.

    The event returns to its queue, and no try is counted. The whole service pauses, for at least
    `retry_after` seconds, and then tries one event before it takes more.
    """

    def __init__(self, reason: str, *, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class OutcomeUnknown(Unavailable):
    """The other side went away and may have done the event: a counted try, and a pause."""
