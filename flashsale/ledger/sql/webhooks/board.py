"""The endpoints as operators see and change them."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flashsale.domain.audit_entries import Author
from flashsale.domain.operators.refusals import ChangeRefused, require_text
from flashsale.domain.webhooks.deliveries import AttemptEntry, Delivery, Replayed, webhook_id
from flashsale.domain.webhooks.endpoints import (
    LONGEST_OVERLAP_SECONDS,
    SECRET_OVERLAP_SECONDS,
    Backlog,
    Endpoint,
    EndpointTerms,
    IssuedSecret,
)
from flashsale.domain.webhooks.event_types import TEST
from flashsale.ledger.sql.operators.audit_log import (
    as_request,
    database_time,
    earlier_result,
)
from flashsale.ledger.sql.transactions import reading, writing
from flashsale.ledger.sql.webhooks import endpoints as rows
from flashsale.ledger.sql.webhooks.listings import list_attempts, list_backlogs, list_deliveries
from flashsale.ledger.sql.webhooks.replay import replay
from flashsale.ledger.sql.webhooks.tables import deliveries, endpoints
from flashsale.messages.standard_webhooks import new_secret
from flashsale.messages.webhook_events import new_webhook

_AT_ONCE = 0.0
"""A delivery that is due before all others."""


class SqlWebhookBoard:
    """The endpoints of one database. See `flashsale.ledger.webhook_port.WebhookBoard`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def endpoints(self) -> list[Endpoint]:
        """Return all endpoints, the oldest first."""
        async with reading(self._engine) as connection:
            found = await connection.execute(rows.all_endpoints())
            return [rows.as_endpoint(row) for row in found]

    async def find_endpoint(self, endpoint_id: str) -> Endpoint:
        """Return an endpoint. Raises `EndpointUnknown`."""
        async with reading(self._engine) as connection:
            return await rows.find(connection, endpoint_id)

    async def create_endpoint(self, terms: EndpointTerms, author: Author) -> IssuedSecret:
        """Add an endpoint, enabled, and return its secret, this one time."""
        async with writing(self._engine) as connection:
            return IssuedSecret(*await rows.create(connection, terms, author))

    async def change_endpoint(
        self, endpoint_id: str, terms: EndpointTerms, author: Author, version: int | None = None
    ) -> Endpoint:
        """Replace the terms of an endpoint."""
        return await self._change(
            endpoint_id, "webhook.change", asdict(terms), author, version, rows.new_terms(terms)
        )

    async def enable_endpoint(
        self, endpoint_id: str, author: Author, version: int | None = None
    ) -> Endpoint:
        """Send to an endpoint again, now and with all attempts."""
        async with writing(self._engine) as connection:
            endpoint, new = await rows.change(
                connection,
                endpoint_id,
                "webhook.enable",
                {},
                author,
                version,
                lambda before, now: {
                    "enabled": True,
                    "disabled_reason": None,
                    "disabled_at": None,
                    "failures": 0,
                    "failing_since": None,
                    "failed_at": None,
                    "paused_until": None,
                },
            )
            if new:
                await _begin_again(connection, endpoint_id)
            return endpoint

    async def disable_endpoint(
        self, endpoint_id: str, author: Author, version: int | None = None
    ) -> Endpoint:
        """Send nothing more to an endpoint."""
        reason = author.reason or f"disabled by {author.who}"
        async with writing(self._engine) as connection:
            endpoint, _ = await rows.change(
                connection,
                endpoint_id,
                rows.DISABLE,
                {},
                author,
                version,
                lambda before, now: {
                    "enabled": False,
                    "disabled_reason": reason,
                    "disabled_at": now if before.enabled else before.disabled_at,
                },
            )
            return endpoint

    async def rotate_secret(
        self,
        endpoint_id: str,
        author: Author,
        overlap_seconds: float | None = None,
        version: int | None = None,
    ) -> IssuedSecret:
        """Give an endpoint a new secret, and return it, this one time."""
        overlap = SECRET_OVERLAP_SECONDS if overlap_seconds is None else overlap_seconds
        if not 0 <= overlap <= LONGEST_OVERLAP_SECONDS:
            raise ChangeRefused(
                "overlap_seconds", f"must be from 0 to {LONGEST_OVERLAP_SECONDS:.0f}"
            )
        secret = new_secret()
        async with writing(self._engine) as connection:
            endpoint, new = await rows.change(
                connection,
                endpoint_id,
                "webhook.rotate",
                {"overlap_seconds": overlap},
                author,
                version,
                lambda before, now: {
                    "previous_secret": endpoints.c.secret if overlap else None,
                    "previous_secret_until": now + overlap if overlap else None,
                    "secret": secret,
                },
            )
            return IssuedSecret(endpoint, secret if new else None)

    async def delete_endpoint(
        self, endpoint_id: str, author: Author, version: int | None = None
    ) -> None:
        """Delete an endpoint and its deliveries."""
        async with writing(self._engine) as connection:
            await rows.remove(connection, endpoint_id, author, version)

    async def send_test(self, endpoint_id: str, author: Author) -> str:
        """Have a test event sent, once and also during a pause; return its webhook id."""
        require_text("reason", author.reason)
        request = as_request("webhook.test", endpoint_id, {})
        async with writing(self._engine) as connection:
            endpoint = await rows.lock(connection, endpoint_id)
            earlier = await earlier_result(connection, author, request)
            if earlier is not None:
                return str(earlier["webhook_id"])
            _require_enabled(endpoint)
            now = await database_time(connection)
            event = new_webhook(TEST, now, {"endpoint_id": endpoint_id})
            await connection.execute(
                insert(deliveries).values(
                    endpoint_id=endpoint_id,
                    event_id=event.event_id,
                    type=event.type,
                    occurred_at=now,
                    body=event.body,
                    next_at=_AT_ONCE,
                )
            )
            await connection.execute(
                update(endpoints).where(endpoints.c.id == endpoint_id).values(paused_until=None)
            )
            sent = {"webhook_id": webhook_id(event.event_id, endpoint_id)}
            await rows.audit(connection, author, "webhook.test", endpoint_id, None, sent, request)
            return sent["webhook_id"]

    async def replay(
        self, endpoint_id: str, since: float, until: float, author: Author
    ) -> Replayed:
        """Send again what the endpoint subscribes to, of orders decided in the range."""
        require_text("reason", author.reason)
        if not (math.isfinite(since) and math.isfinite(until) and since < until):
            raise ChangeRefused("until", "must be later than the beginning of the range")
        asked = {"since": since, "until": until}
        request = as_request("webhook.replay", endpoint_id, asked)
        async with writing(self._engine) as connection:
            endpoint = await rows.lock(connection, endpoint_id)
            earlier = await earlier_result(connection, author, request)
            if earlier is not None:
                return Replayed(
                    earlier["deliveries"], earlier["without_event"], earlier["more_from"]
                )
            _require_enabled(endpoint)
            done = await replay(connection, endpoint, since, until, await database_time(connection))
            after = {**asked, **asdict(done)}
            await rows.audit(
                connection, author, "webhook.replay", endpoint_id, None, after, request
            )
            return done

    async def deliveries(
        self, endpoint_id: str, limit: int, after: int | None = None
    ) -> list[Delivery]:
        """Return up to `limit` pending and dead deliveries, the oldest first, after this id."""
        async with reading(self._engine) as connection:
            return await list_deliveries(connection, endpoint_id, limit, after)

    async def attempts(
        self, endpoint_id: str, limit: int, before: int | None = None
    ) -> list[AttemptEntry]:
        """Return up to `limit` attempts, the newest first; only those before an id, if given."""
        async with reading(self._engine) as connection:
            return await list_attempts(connection, endpoint_id, limit, before)

    async def backlogs(self) -> list[Backlog]:
        """Return what waits for each endpoint."""
        async with reading(self._engine) as connection:
            return await list_backlogs(connection)

    async def _change(
        self,
        endpoint_id: str,
        action: str,
        wanted: Mapping[str, Any],
        author: Author,
        version: int | None,
        changes: rows.Changes,
    ) -> Endpoint:
        async with writing(self._engine) as connection:
            endpoint, _ = await rows.change(
                connection,
                endpoint_id,
                action,
                wanted,
                author,
                version,
                lambda before, now: changes,
            )
            return endpoint


async def _begin_again(connection: AsyncConnection, endpoint_id: str) -> None:
    """Make the deliveries of an endpoint due now, each with all its attempts."""
    # Those that a process has at this moment stay with it.
    await connection.execute(
        update(deliveries)
        .where(
            deliveries.c.endpoint_id == endpoint_id,
            deliveries.c.dead_at.is_(None),
            deliveries.c.claim.is_(None),
        )
        .values(attempts=0, next_at=deliveries.c.occurred_at)
    )


def _require_enabled(endpoint: Endpoint) -> None:
    if not endpoint.enabled:
        raise ChangeRefused("", "the endpoint is disabled: enable it first")
