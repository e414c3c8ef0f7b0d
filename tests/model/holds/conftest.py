"""What a machine with holds needs around it."""

import sys

import pytest

from tests.model.books import SqlBooks
from tests.model.clock import PRODUCT
from tests.model.holds.machine import GRACE_SECONDS, HoldMachine


@pytest.fixture
def held_books(monkeypatch: pytest.MonkeyPatch, sql_books: SqlBooks) -> None:
    """A ledger for the machine, and a grace that is short."""
    HoldMachine.tables = sql_books
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PRODUCT and "GRACE_SECONDS" in vars(module):
            monkeypatch.setattr(module, "GRACE_SECONDS", GRACE_SECONDS)
