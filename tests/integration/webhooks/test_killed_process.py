"""A process of the service is killed between the answer of an endpoint and its record."""

import asyncio
import time
from pathlib import Path

from sqlalchemy import text

from flashsale.domain.webhooks.endpoints import EndpointTerms
from flashsale.ledger import Ledger, open_ledger
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import open_stack
from loadtest.processes import process
from tests.clocks import clock_ahead
from tests.conftest import unique
from tests.database import connected, rows
from tests.integration.services.bench import Bench, an_event
from tests.integration.webhooks.builders import ANN
from tests.integration.webhooks.receiver import Receiver

_BLOCKED = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE {}"
_RECORDING = _BLOCKED.format("'INSERT INTO webhook_attempts%'") + " AND wait_event_type = 'Lock'"


async def test_a_delivery_is_sent_again_under_its_id_after_a_kill(
    rabbit_url: str, postgres_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    settings = Settings(
        broker_url=rabbit_url, broker_prefix=f"{unique('k')}.", database_url=postgres_url
    )
    environment = {
        "FLASHSALE_BROKER_URL": rabbit_url,
        "FLASHSALE_BROKER_PREFIX": settings.broker_prefix,
        "FLASHSALE_DATABASE_URL": postgres_url,
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_WEBHOOK_ALLOW_PRIVATE": "true",
    }
    serve = ["flashsale", "services", "webhook"]
    event = an_event(decided_at=time.time())
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        issued = await ledger.webhooks.create_endpoint(EndpointTerms(receiver.url()), ANN)
        with process(serve, tmp_path / "first.log", environment) as first:
            await _active(tmp_path / "first.log")
            async with connected(postgres_url) as held:
                await held.execute(
                    text("LOCK TABLE flashsale.webhook_attempts IN ACCESS EXCLUSIVE MODE")
                )
                async with open_stack(settings) as stack:
                    await Bench(settings, stack).publish(event)
                await receiver.until(1)
                async with asyncio.timeout(60):
                    while not await rows(postgres_url, _RECORDING):
                        await asyncio.sleep(0.02)
                first.kill()
        assert len(receiver.of()) == 1
        # After the end of the lease.
        later = environment | clock_ahead(90)
        with process(serve, tmp_path / "second.log", later):
            once, again = await receiver.until(2)
            await _delivered(ledger, issued.endpoint.id)
    assert once.webhook_id == again.webhook_id == f"{event.event_id}-{issued.endpoint.id}"
    assert once.body == again.body
    assert len(receiver.of()) == 2


async def _active(log: Path) -> None:
    async with asyncio.timeout(60):
        while "service is active" not in log.read_text():  # noqa: ASYNC240 a few lines
            await asyncio.sleep(0.05)


async def _delivered(ledger: Ledger, endpoint_id: str) -> None:
    async with asyncio.timeout(60):
        while await ledger.webhooks.deliveries(endpoint_id, 1):
            await asyncio.sleep(0.02)
