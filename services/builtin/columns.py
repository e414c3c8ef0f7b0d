"""Columns of the tables of the services here."""

from sqlalchemy import String
from sqlalchemy.types import TypeEngine


def key(length: int) -> TypeEngine[str]:
    """Return the type of a key, which is compared for equality: no language's order is needed."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")
