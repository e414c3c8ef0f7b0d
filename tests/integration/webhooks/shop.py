"""The webhook service at work, with a clock that a test moves."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from flashsale.domain.webhooks.deliveries import AttemptEntry
from flashsale.domain.webhooks.endpoints import EndpointTerms, IssuedSecret
from flashsale.ledger import Ledger
from flashsale.messages.events import OrderEvent
from flashsale.observability.services_metrics import ServicesMetrics
from flashsale.runtime.background import Background
from flashsale.runtime.setting_groups.webhooks import WebhookSettings
from services import Service
from services.builtin.webhook.service import open_webhook, webhook
from services.resources import Resources
from tests.integration.services.bench import Bench, an_event
from tests.integration.webhooks.builders import ANN
from tests.integration.webhooks.receiver import Receiver


@dataclass
class Clock:
    """The time, and what a test adds to it."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class WebhookShop:
    """An open stack, a receiver, and the service between them."""

    bench: Bench
    receiver: Receiver
    clock: Clock = field(default_factory=Clock)

    @property
    def ledger(self) -> Ledger:
        return self.bench.stack.ledger

    @property
    def service(self) -> Service[Any]:
        return replace(webhook, opened_with=partial(open_webhook, clock=self.clock))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self.bench.running(self.service):
            yield

    @asynccontextmanager
    async def second_process(self) -> AsyncIterator[None]:
        """Send the same deliveries from what could be another process."""
        stop = asyncio.Event()
        async with Background() as background:
            resources = Resources(self.ledger, background, ServicesMetrics().registry, stop)
            async with open_webhook(WebhookSettings(), resources, self.clock):
                yield
                stop.set()

    async def endpoint(self, path: str = "/hook", *event_types: str) -> IssuedSecret:
        terms = EndpointTerms(self.receiver.url(path), event_types or ("*",))
        return await self.ledger.webhooks.create_endpoint(terms, ANN)

    async def decided(self, **changes: Any) -> OrderEvent:
        """Publish the event of an order that is decided now."""
        event = an_event(**({"decided_at": time.time()} | changes))
        await self.bench.publish(event)
        return event

    async def attempts(self, issued: IssuedSecret, count: int) -> list[AttemptEntry]:
        """Wait until the log has so many attempts, and return them, the oldest first."""
        async with asyncio.timeout(60):
            while True:
                found = await self.ledger.webhooks.attempts(issued.endpoint.id, 1_000)
                if len(found) >= count:
                    return found[::-1]
                await asyncio.sleep(0.01)

    async def delivered(self, issued: IssuedSecret) -> None:
        """Wait until nothing waits for the endpoint."""
        async with asyncio.timeout(60):
            while await self.ledger.webhooks.deliveries(issued.endpoint.id, 1):
                await asyncio.sleep(0.01)

    async def disabled(self, issued: IssuedSecret) -> str:
        """Wait until the endpoint is disabled, and return why."""
        async with asyncio.timeout(60):
            while True:
                endpoint = await self.ledger.webhooks.find_endpoint(issued.endpoint.id)
                if not endpoint.enabled:
                    return endpoint.disabled_reason or ""
                await asyncio.sleep(0.01)

    async def shown(self, metric: str, value: float, **labels: str) -> None:
        """Wait until the metric has this value."""
        async with asyncio.timeout(60):
            while self.bench.metrics.registry.get_sample_value(metric, labels) != value:
                await asyncio.sleep(0.01)
