"""How observability may fail."""

from flashsale.domain.errors import FlashsaleError


class TracingUnavailable(FlashsaleError):
    """Tracing is on and can't work. The message names the variable and what to do."""
