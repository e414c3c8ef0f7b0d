"""The base of every error that this project raises on purpose."""


class FlashsaleError(Exception):
    """Base class: catch it to handle whatever the product reports, and no other failure."""
