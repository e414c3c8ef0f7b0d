"""Sessions of PostgreSQL that end while they begin."""

from typing import Any

import asyncpg
import pytest

from flashsale.ledger import LedgerUnavailable, open_ledger


@pytest.mark.parametrize("statement", ["SELECT", "SET"], ids=["the check", "the settings"])
async def test_a_session_lost_while_it_begins_is_an_unavailable_ledger(
    postgres_url: str, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the error is not one of the ledger, and ends the task that asked."""
    driver_class: Any = asyncpg.Connection
    execute = driver_class.execute

    async def lose_session_first(self: Any, query: str, *args: Any, **kwargs: Any) -> str:
        if query.startswith(statement):
            administrator = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
            try:
                await administrator.fetch("SELECT pg_terminate_backend($1)", self.get_server_pid())
            finally:
                await administrator.close()
        return await execute(self, query, *args, **kwargs)  # type: ignore[no-any-return]

    async with open_ledger(postgres_url) as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(driver_class, "execute", lose_session_first)
            for _ in range(12):  # more than the pool has connections
                with pytest.raises(LedgerUnavailable):
                    await ledger.sales()
        await ledger.migrate()
        assert await ledger.sales() == []
