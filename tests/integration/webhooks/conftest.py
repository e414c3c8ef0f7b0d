from collections.abc import AsyncIterator

import pytest

import services.builtin.webhook.sender
import services.builtin.webhook.subscriptions
from tests.integration.services.bench import Bench
from tests.integration.services.conftest import bench
from tests.integration.webhooks.receiver import Receiver, a_receiver
from tests.integration.webhooks.shop import WebhookShop

__all__ = ["bench"]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with a_receiver() as serving:
        yield serving


@pytest.fixture
def shop(bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> WebhookShop:
    """The service on an open stack, beside a receiver on a private address."""
    monkeypatch.setenv("FLASHSALE_WEBHOOK_ALLOW_PRIVATE", "true")
    monkeypatch.setenv("FLASHSALE_WEBHOOK_TIMEOUT_SECONDS", "5")
    monkeypatch.setattr(services.builtin.webhook.sender, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(services.builtin.webhook.sender, "_POLL_WITHOUT_ENDPOINTS_SECONDS", 0.05)
    return WebhookShop(bench, receiver)
