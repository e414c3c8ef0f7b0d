"""The error of settings and of installed packages."""

from flashsale.domain.errors import FlashsaleError


class SettingsError(FlashsaleError):
    """A setting has a wrong value. The message names it, its value and what is allowed."""
