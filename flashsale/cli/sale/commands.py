"""`flashsale sale create | list | show`: create and show sales."""

from typing import Annotated

import typer

from flashsale.cli.json_output import AsJson
from flashsale.cli.ledger_command import with_ledger
from flashsale.cli.operator import author
from flashsale.cli.sale.changes import add_changes
from flashsale.cli.sale.options import (
    ClosesAt,
    Currency,
    GivenZone,
    Limit,
    NeedsPass,
    OpensAt,
    PictureUrl,
    Price,
    Reason,
    ShowZone,
    Sku,
    Title,
)
from flashsale.cli.sale.output import print_sale_json, print_sales, print_sales_json
from flashsale.cli.sale.schedule import schedule_or_fail
from flashsale.cli.sale.times import zone_or_fail
from flashsale.domain.operators.sale_terms import MOST_ITEMS, require_new
from flashsale.domain.sales import Sale

sale_app = typer.Typer(help="Create, show and change sales.", no_args_is_help=True)


@sale_app.command("create")
def create_sale(
    sku: Sku,
    stock: Annotated[int, typer.Option(min=0, max=MOST_ITEMS, help="Items for sale.")],
    customer_limit: Limit = None,
    opens_at: OpensAt = None,
    closes_at: ClosesAt = None,
    timezone: GivenZone = None,
    title: Title = None,
    price: Price = None,
    currency: Currency = None,
    picture_url: PictureUrl = None,
    needs_pass: NeedsPass = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Create a sale. Gateways offer it within a second.

    Without --opens-at it is open at once, and without --closes-at for good.
    """
    schedule = schedule_or_fail(opens_at, closes_at, timezone)
    sale = Sale(
        sku,
        stock,
        customer_limit=customer_limit,
        opens_at=schedule.opens_at,
        closes_at=schedule.closes_at,
        title=title,
        price=price,
        currency=currency,
        picture_url=picture_url,
        needs_pass=bool(needs_pass),
    )
    created = with_ledger(lambda ledger: ledger.create_sale(sale, author(reason), require_new))
    if as_json:
        print_sale_json(created)
        return
    print(f"created the sale of {sku}, stock {stock}")
    schedule.tell()


@sale_app.command("list")
def list_sales(timezone: ShowZone = None, as_json: AsJson = False) -> None:
    """List all sales."""
    zone = zone_or_fail(timezone)
    sales = with_ledger(lambda ledger: ledger.sales())
    if as_json:
        print_sales_json(sales)
    else:
        print_sales(sales, zone)


@sale_app.command("show")
def show_sale(sku: Sku, timezone: ShowZone = None, as_json: AsJson = False) -> None:
    """Show one sale."""
    zone = zone_or_fail(timezone)
    sale = with_ledger(lambda ledger: ledger.find_sale(sku))
    if as_json:
        print_sale_json(sale)
    else:
        print_sales([sale], zone)


add_changes(sale_app)
