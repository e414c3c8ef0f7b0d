from collections.abc import AsyncIterator

import pytest

from flashsale.ledger import open_ledger
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import open_stack
from tests.conftest import unique
from tests.integration.services.bench import Bench


@pytest.fixture(params=["embedded", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "embedded":
        settings = Settings(database_url=request.getfixturevalue("sqlite_url"))
    else:
        settings = Settings(
            broker_url=request.getfixturevalue("rabbit_url"),
            broker_prefix=f"{unique('s')}.",
            database_url=request.getfixturevalue("postgres_url"),
        )
        async with open_ledger(settings.database_url) as ledger:
            await ledger.migrate()
    async with open_stack(settings) as stack:
        yield Bench(settings, stack)
