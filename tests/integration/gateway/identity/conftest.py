"""A gateway that asks for tokens."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway
from tests.integration.gateway.identity.signing import SECRET


@pytest.fixture
async def guarded(sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    """A gateway in this process that knows the secret of the shop."""
    async with open_gateway(sqlite_url, auth="jwt", jwt_secret=SECRET) as opened:
        yield opened
