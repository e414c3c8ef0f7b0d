"""Column types of the tables of the built-in services."""

from sqlalchemy import String
from sqlalchemy.types import TypeEngine


def key(length: int) -> TypeEngine[str]:
    """Return the type of a key. It needs no collation, as keys are compared for equality only."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")
