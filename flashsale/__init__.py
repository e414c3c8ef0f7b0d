"""The flash-sale gateway: what its processes share."""

__version__ = "0.1.0"
