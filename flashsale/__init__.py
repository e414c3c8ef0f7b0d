"""The flash-sale gateway: what its processes share."""

from flashsale.domain.errors import FlashsaleError

__all__ = ["FlashsaleError", "__version__"]

__version__ = "0.1.0"
