"""`flashsale sale ...`: create and show sales."""

import re
import sys
from datetime import UTC, datetime, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.console import Console
from rich.table import Table

from flashsale.cli.ledger_command import with_ledger
from flashsale.domain.moments import describe_wait, parse_moment, write_moment
from flashsale.domain.orders import SKU_PATTERN
from flashsale.domain.sales import Sale
from flashsale.ledger import Ledger
from flashsale.runtime.process import fail

sale_app = typer.Typer(help="Create and show sales.", no_args_is_help=True)

_PIPE_COLUMNS = 220

Sku = Annotated[str, typer.Argument(help="The item for sale, such as tv-55.")]
Zone = Annotated[
    str | None,
    typer.Option(help="Show times of this zone, such as Europe/Berlin, not UTC.", metavar="ZONE"),
]


@sale_app.command("create")
def create_sale(
    sku: Sku,
    stock: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Items for sale.")],
    customer_limit: Annotated[
        int | None, typer.Option(min=1, max=2**31 - 1, help="Most items for one customer.")
    ] = None,
    opens_at: Annotated[
        str | None,
        typer.Option(
            help="When the sale opens, such as 2026-11-27T09:00:00+01:00 or 2026-11-27T08:00:00Z"
            " (RFC 3339). Default: now.",
            metavar="TIME",
        ),
    ] = None,
    closes_at: Annotated[
        str | None, typer.Option(help="When the sale closes. Default: never.", metavar="TIME")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            help="The zone of times without an offset, such as Europe/Berlin.", metavar="ZONE"
        ),
    ] = None,
) -> None:
    """Create a sale. Gateways offer it within a second."""
    if not re.match(SKU_PATTERN, sku):
        fail(f"sku {sku!r}: must be 1 to 64 letters, digits, dots, underscores and hyphens")
    zone = _zone(timezone)
    opens = _moment("--opens-at", opens_at, zone)
    closes = _moment("--closes-at", closes_at, zone)
    if opens and closes and closes <= opens:
        fail("the sale would end before it begins")
    sale = Sale(sku, stock, 0, customer_limit, _seconds(opens), _seconds(closes))
    with_ledger(lambda ledger: ledger.create_sale(sale))
    print(f"created the sale of {sku}, stock {stock}")
    for verb, moment, text in (("opens", opens, opens_at), ("closes", closes, closes_at)):
        if moment is not None and text is not None:
            print(f"{verb} {_in_words(moment, text, zone)}")


@sale_app.command("list")
def list_sales(timezone: Zone = None) -> None:
    """List all sales."""
    zone = _zone(timezone)
    _print_sales(with_ledger(_sales), zone)


@sale_app.command("show")
def show_sale(sku: Sku, timezone: Zone = None) -> None:
    """Show one sale."""
    zone = _zone(timezone)
    sales = [sale for sale in with_ledger(_sales) if sale.sku == sku]
    if not sales:
        fail(f"there is no sale of {sku}")
    _print_sales(sales, zone)


async def _sales(ledger: Ledger) -> list[Sale]:
    return await ledger.sales()


def _print_sales(sales: list[Sale], zone: tzinfo | None) -> None:
    table = Table()
    for name in ("sku", "stock", "sold", "remaining", "customer limit", "opens", "closes"):
        table.add_column(name, overflow="fold")
    for sale in sales:
        numbers = (sale.stock, sale.sold, sale.remaining, sale.customer_limit)
        table.add_row(
            sale.sku,
            *("" if n is None else str(n) for n in numbers),
            *(
                "" if seconds is None else _cell(seconds, zone or UTC)
                for seconds in (sale.opens_at, sale.closes_at)
            ),
        )
    # A reader of a pipe finds each value in one piece.
    Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(table)


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    # A name may also be a folder or another file of the database of zones.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fail(f"--timezone {name}: there is no such time zone; one is Europe/Berlin")


def _moment(option: str, text: str | None, zone: tzinfo | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_moment(text, zone)
    except ValueError as error:
        fail(f"{option} {error}")


def _in_words(moment: datetime, text: str, zone: tzinfo | None) -> str:
    written = write_moment(moment)
    local = text if zone is None else f"{write_moment(moment, zone)} {zone}"
    wait = describe_wait((moment - datetime.now(UTC)).total_seconds())
    return f"{written}, {wait}" if local == written else f"{written} ({local}), {wait}"


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _cell(seconds: float, zone: tzinfo) -> str:
    # RFC 3339, 5.6 allows a space, at which a narrow terminal breaks the line.
    return write_moment(datetime.fromtimestamp(seconds, UTC), zone).replace("T", " ")
