"""Errors of the observability modules."""

from flashsale.domain.errors import FlashsaleError


class TracingUnavailable(FlashsaleError):
    """Tracing is on but can't work. The message names the variable and the remedy."""
