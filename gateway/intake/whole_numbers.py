"""Whole numbers in JSON: 2.0 is one, too."""

from typing import Any


def with_whole_numbers(value: Any) -> Any:
    """Return a decoded object in which the fields with a whole number, such as 2.0, hold an int.

    JSON has one type of numbers, and some programs write each with a fraction (RFC 8259, 6). JSON
    Schema takes them as integers, msgspec does not. Other values are returned as they are.
    """
    if not isinstance(value, dict):
        return value
    return {name: _whole(field) for name, field in value.items()}


def _whole(field: Any) -> Any:
    return int(field) if isinstance(field, float) and field.is_integer() else field
