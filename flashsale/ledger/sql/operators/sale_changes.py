"""Create, change and delete sales: one locked row, and the audit in the same transaction."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Select, insert, literal, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.audit_entries import Author
from flashsale.domain.operators.refusals import require_text
from flashsale.domain.operators.sale_changes import SaleChange
from flashsale.domain.sales import Sale
from flashsale.ledger.errors import (
    ChangedMeanwhile,
    KeyTaken,
    LedgerRefused,
    SaleHasSold,
    SaleUnknown,
)
from flashsale.ledger.sql.operators.audit_log import (
    as_request,
    database_time,
    earlier_result,
    write_entry,
)
from flashsale.ledger.sql.operators.lock_waits import limit_waits
from flashsale.ledger.sql.sell import as_sale
from flashsale.ledger.sql.tables import orders, sales


async def find(connection: AsyncConnection, sku: str) -> Sale:
    """Return a sale. Raises `SaleUnknown`."""
    return await _one(connection, _of(sku), sku)


async def create(
    connection: AsyncConnection,
    sale: Sale,
    author: Author,
    check: Callable[[Sale, float], None] | None = None,
) -> Sale:
    """Add a sale, or return the one that the same request has added before.

    Raises `LedgerRefused` if the sku has a sale already, `KeyTaken`, and what `check` raises.
    """
    require_text("reason", author.reason)
    request = as_request("sale.create", sale.sku, asdict(sale))
    await limit_waits(connection)
    earlier = await earlier_result(connection, author, request)
    if earlier is not None:
        return Sale(**earlier)
    if check is not None:
        check(sale, await database_time(connection))
    try:
        async with connection.begin_nested():
            await connection.execute(insert(sales).values(asdict(sale)))
    except IntegrityError as error:
        # The same request may have come twice at once: the first has been waited for.
        earlier = await earlier_result(connection, author, request)
        if earlier is not None:
            return Sale(**earlier)
        if await connection.scalar(select(sales.c.sku).where(sales.c.sku == sale.sku)) is None:
            raise
        raise LedgerRefused(f"there is a sale of {sale.sku} already") from error
    await _audit(connection, author, "sale.create", sale.sku, None, sale, request)
    return sale


async def change(
    connection: AsyncConnection,
    sku: str,
    wanted: SaleChange,
    author: Author,
    version: int | None,
) -> Sale:
    """Change a sale, or return what the same request has made of it before.

    Raises `SaleUnknown`, `ChangedMeanwhile`, `KeyTaken`, and what the change raises.
    """
    require_text("reason", author.reason)
    sale = await _lock(connection, sku)
    request = as_request(wanted.action, sku, wanted.wanted)
    earlier = await earlier_result(connection, author, request)
    if earlier is not None:
        return Sale(**earlier)
    _require_version(sale, version)
    now = await database_time(connection)
    changed = replace(wanted.apply(sale, now), version=sale.version + 1)
    await connection.execute(
        update(sales).where(sales.c.sku == sku).values(_changes(sale, changed))
    )
    await _audit(connection, author, wanted.action, sku, sale, changed, request)
    return changed


async def delete(
    connection: AsyncConnection, sku: str, author: Author, version: int | None
) -> None:
    """Delete a sale that never sold and that no decided order names.

    Orders that wait in the queue are then rejected as `unknown_sku`. Raises `SaleUnknown`,
    `ChangedMeanwhile` or `SaleHasSold`.
    """
    require_text("reason", author.reason)
    sale = await _lock(connection, sku)
    _require_version(sale, version)
    if sale.sold:
        raise SaleHasSold(f"{sale.sold} items of {sku} are sold")
    # A batch that decides orders of this sale waits for the lock, so no order is missed.
    named = select(literal(1)).select_from(orders).where(orders.c.sku == sku).limit(1)
    if await connection.scalar(named) is not None:
        raise SaleHasSold(f"orders for {sku} were decided")
    await connection.execute(delete_from(sales).where(sales.c.sku == sku))
    await _audit(connection, author, "sale.delete", sku, sale, None, None)


async def _lock(connection: AsyncConnection, sku: str) -> Sale:
    await limit_waits(connection)
    return await _one(connection, _of(sku).with_for_update(), sku)


def _of(sku: str) -> Select[Any]:
    return select(sales).where(sales.c.sku == sku)


async def _one(connection: AsyncConnection, query: Select[Any], sku: str) -> Sale:
    row = (await connection.execute(query)).first()
    if row is None:
        raise SaleUnknown(f"there is no sale of {sku}")
    return as_sale(row)


def _require_version(sale: Sale, version: int | None) -> None:
    if version is not None and version != sale.version:
        raise ChangedMeanwhile(f"the sale is at version {sale.version}, not {version}")


def _changes(before: Sale, after: Sale) -> Mapping[str, Any]:
    old = asdict(before)
    return {name: value for name, value in asdict(after).items() if value != old[name]}


async def _audit(
    connection: AsyncConnection,
    author: Author,
    action: str,
    sku: str,
    before: Sale | None,
    after: Sale | None,
    request: str | None,
) -> None:
    try:
        await write_entry(
            connection,
            await database_time(connection),
            author,
            action,
            sku,
            None if before is None else asdict(before),
            None if after is None else asdict(after),
            request,
        )
    except IntegrityError as error:
        if author.idempotency_key is None:
            raise
        # A request of another sale with the same key came at the same time.
        raise KeyTaken("this Idempotency-Key came with another request") from error
