"""Create, change and delete endpoints: one locked row, and the audit in the same transaction."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.audit_entries import Author
from flashsale.domain.operators.refusals import ChangeRefused, require_text
from flashsale.domain.webhooks.endpoints import MOST_ENDPOINTS, Endpoint, EndpointTerms
from flashsale.ledger.errors import ChangedMeanwhile, EndpointUnknown, KeyTaken
from flashsale.ledger.sql.operators.audit_log import (
    as_request,
    database_time,
    earlier_result,
    write_entry,
)
from flashsale.ledger.sql.operators.lock_waits import limit_waits
from flashsale.ledger.sql.webhooks.tables import deliveries, endpoints
from flashsale.messages.events import new_event_id
from flashsale.messages.standard_webhooks import new_secret

_SHOWN = [endpoints.c[name] for name in Endpoint.__dataclass_fields__]

DISABLE = "webhook.disable"
"""The action in the audit, by whomever."""

Changes = Mapping[str, Any]


def all_endpoints() -> Select[Any]:
    """Return the query for all endpoints, without their secrets."""
    return select(*_SHOWN).order_by(endpoints.c.created_at, endpoints.c.id)


def as_endpoint(row: Row[Any]) -> Endpoint:
    """Return the endpoint of a row that has its columns."""
    values = {name: row._mapping[name] for name in Endpoint.__dataclass_fields__}
    return _endpoint_of(values)


async def find(connection: AsyncConnection, endpoint_id: str) -> Endpoint:
    """Return an endpoint. Raises `EndpointUnknown`."""
    return await _one(connection, _of(endpoint_id), endpoint_id)


async def lock(connection: AsyncConnection, endpoint_id: str) -> Endpoint:
    """Return an endpoint, and lock its row. Raises `EndpointUnknown`."""
    await limit_waits(connection)
    return await _one(connection, _of(endpoint_id).with_for_update(), endpoint_id)


async def create(
    connection: AsyncConnection, terms: EndpointTerms, author: Author
) -> tuple[Endpoint, str | None]:
    """Add an endpoint; return it and its secret. See `WebhookBoard.create_endpoint`."""
    terms.require_valid()
    require_text("reason", author.reason)
    await limit_waits(connection)
    if connection.dialect.name == "postgresql":
        # One at a time, so that a request which comes twice finds its first, and to count them.
        await connection.execute(text("LOCK TABLE webhook_endpoints IN SHARE ROW EXCLUSIVE MODE"))
    request = as_request("webhook.create", "", asdict(terms))
    earlier = await earlier_result(connection, author, request)
    if earlier is not None:
        return _endpoint_of(earlier), None
    count = await connection.execute(select(func.count()).select_from(endpoints))
    if count.scalar_one() >= MOST_ENDPOINTS:
        raise ChangeRefused("", f"there are {MOST_ENDPOINTS} endpoints already")
    endpoint_id, secret, now = new_event_id(), new_secret(), await database_time(connection)
    await connection.execute(
        insert(endpoints).values(id=endpoint_id, secret=secret, created_at=now, **_columns(terms))
    )
    endpoint = await find(connection, endpoint_id)
    await audit(connection, author, "webhook.create", endpoint_id, None, endpoint, request)
    return endpoint, secret


async def change(
    connection: AsyncConnection,
    endpoint_id: str,
    action: str,
    wanted: Mapping[str, Any],
    author: Author,
    version: int | None,
    changes: Callable[[Endpoint, float], Changes],
) -> tuple[Endpoint, bool]:
    """Change the columns of an endpoint, and write the audit.

    `changes` gets the endpoint and the time of the database. Return the changed endpoint, and
    whether it was changed now: not if the same request was made before.
    """
    require_text("reason", author.reason)
    before = await lock(connection, endpoint_id)
    request = as_request(action, endpoint_id, wanted)
    earlier = await earlier_result(connection, author, request)
    if earlier is not None:
        return _endpoint_of(earlier), False
    require_version(before, version)
    now = await database_time(connection)
    await connection.execute(
        update(endpoints)
        .where(endpoints.c.id == endpoint_id)
        .values(version=before.version + 1, **changes(before, now))
    )
    after = await find(connection, endpoint_id)
    await audit(connection, author, action, endpoint_id, before, after, request)
    return after, True


async def remove(
    connection: AsyncConnection, endpoint_id: str, author: Author, version: int | None
) -> None:
    """Delete an endpoint and its deliveries."""
    require_text("reason", author.reason)
    before = await lock(connection, endpoint_id)
    require_version(before, version)
    await connection.execute(delete(endpoints).where(endpoints.c.id == endpoint_id))
    await connection.execute(delete(deliveries).where(deliveries.c.endpoint_id == endpoint_id))
    await audit(connection, author, "webhook.delete", endpoint_id, before, None, None)


def new_terms(terms: EndpointTerms) -> Changes:
    """Return the columns of the terms. Raises `ChangeRefused` if they are wrong."""
    terms.require_valid()
    return _columns(terms)


def require_version(endpoint: Endpoint, version: int | None) -> None:
    """Raise `ChangedMeanwhile` if the endpoint is at another version."""
    if version is not None and version != endpoint.version:
        raise ChangedMeanwhile(f"the endpoint is at version {endpoint.version}, not {version}")


async def audit(
    connection: AsyncConnection,
    author: Author,
    action: str,
    endpoint_id: str,
    before: Endpoint | None,
    after: Endpoint | Mapping[str, Any] | None,
    request: str | None,
) -> None:
    """Write an entry. No secret is in it."""
    now = await database_time(connection)
    try:
        await write_entry(
            connection,
            now,
            author,
            action,
            endpoint_id,
            None if before is None else asdict(before),
            asdict(after) if isinstance(after, Endpoint) else after,
            request,
        )
    except IntegrityError as error:
        if author.idempotency_key is None:
            raise
        # A request about something else with the same key came at the same time.
        raise KeyTaken("this Idempotency-Key came with another request") from error


def _columns(terms: EndpointTerms) -> Changes:
    return {**asdict(terms), "event_types": list(terms.event_types)}


def _endpoint_of(values: Mapping[str, Any]) -> Endpoint:
    return Endpoint(**{**values, "event_types": tuple(values["event_types"])})


def _of(endpoint_id: str) -> Select[Any]:
    return select(*_SHOWN).where(endpoints.c.id == endpoint_id)


async def _one(connection: AsyncConnection, query: Select[Any], endpoint_id: str) -> Endpoint:
    row = (await connection.execute(query)).first()
    if row is None:
        raise EndpointUnknown(f"there is no webhook endpoint {endpoint_id}")
    return as_endpoint(row)
