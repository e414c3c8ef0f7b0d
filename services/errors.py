"""The errors by which a handler says what happens to its event. Any other error is a failed try."""

import math

from flashsale.domain.errors import FlashsaleError

LONGEST_PAUSE_SECONDS = 3600.0
"""The longest pause that the other side of a service can ask for."""


class GiveUp(FlashsaleError):
    """No further try can succeed: the event is dead at once."""


class Later(FlashsaleError):
    """This event can't be done now, but others can: it waits aside, and no try is counted."""


class Unavailable(FlashsaleError):
    """The other side takes no events now, whatever is in them.

    The event returns to its queue, and no try is counted. The whole service pauses, for at least
    `retry_after` seconds, an hour at most, and then tries one event before it takes more.
    """

    def __init__(self, reason: str, *, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        # The other side may have said anything.
        self.retry_after = (
            0.0 if math.isnan(retry_after) else min(max(retry_after, 0.0), LONGEST_PAUSE_SECONDS)
        )


class OutcomeUnknown(Unavailable):
    """The other side went away and may have done the event: a counted try, and a pause."""
