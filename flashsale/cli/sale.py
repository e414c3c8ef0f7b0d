"""`flashsale sale ...`: create and show sales."""

import re
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flashsale.cli.ledger_command import with_ledger
from flashsale.domain.orders import SKU_PATTERN
from flashsale.domain.sales import Sale
from flashsale.ledger import Ledger
from flashsale.runtime.process import fail

sale_app = typer.Typer(help="Create and show sales.", no_args_is_help=True)

Sku = Annotated[str, typer.Argument(help="The item for sale, such as tv-55.")]


@sale_app.command("create")
def create_sale(
    sku: Sku,
    stock: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Items for sale.")],
    customer_limit: Annotated[
        int | None, typer.Option(min=1, max=2**31 - 1, help="Most items for one customer.")
    ] = None,
    opens_at: Annotated[
        datetime | None, typer.Option(help="When the sale opens, UTC. Default: now.")
    ] = None,
    closes_at: Annotated[
        datetime | None, typer.Option(help="When the sale closes, UTC. Default: never.")
    ] = None,
) -> None:
    """Create a sale. Gateways offer it within a second."""
    if not re.match(SKU_PATTERN, sku):
        fail(f"sku {sku!r}: must be 1 to 64 letters, digits, dots, underscores and hyphens")
    if opens_at and closes_at and closes_at <= opens_at:
        fail("the sale would end before it begins")
    sale = Sale(sku, stock, 0, customer_limit, _seconds(opens_at), _seconds(closes_at))
    with_ledger(lambda ledger: ledger.create_sale(sale))
    print(f"created the sale of {sku}, stock {stock}")


@sale_app.command("list")
def list_sales() -> None:
    """List all sales."""
    _print_sales(with_ledger(_sales))


@sale_app.command("show")
def show_sale(sku: Sku) -> None:
    """Show one sale."""
    sales = [sale for sale in with_ledger(_sales) if sale.sku == sku]
    if not sales:
        fail(f"there is no sale of {sku}")
    _print_sales(sales)


async def _sales(ledger: Ledger) -> list[Sale]:
    return await ledger.sales()


def _print_sales(sales: list[Sale]) -> None:
    table = Table("sku", "stock", "sold", "remaining", "customer limit", "opens", "closes")
    for sale in sales:
        numbers = (sale.stock, sale.sold, sale.remaining, sale.customer_limit)
        table.add_row(
            sale.sku,
            *("" if n is None else str(n) for n in numbers),
            *(_moment(t) for t in (sale.opens_at, sale.closes_at)),
        )
    Console().print(table)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))
