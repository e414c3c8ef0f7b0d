"""The base class of the project's errors."""


class FlashsaleError(Exception):
    """Base class of all errors that the product raises on purpose."""
