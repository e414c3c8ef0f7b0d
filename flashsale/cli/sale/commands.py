"""`flashsale sale create | list | show`: create and show sales."""

from functools import partial
from typing import Annotated

import typer

from flashsale.cli.json_output import AsJson
from flashsale.cli.ledger_command import with_ledger
from flashsale.cli.operator import author
from flashsale.cli.sale.changes import add_changes
from flashsale.cli.sale.options import (
    Cancellable,
    ClosesAt,
    Currency,
    Extendable,
    GivenZone,
    HoldSeconds,
    Limit,
    NeedsPass,
    OpensAt,
    PictureUrl,
    Price,
    Reason,
    ShowZone,
    Sku,
    Title,
    Waitlist,
)
from flashsale.cli.sale.output import print_sale_json, print_sales, print_sales_json
from flashsale.cli.sale.schedule import schedule_or_fail
from flashsale.cli.sale.times import zone_or_fail
from flashsale.domain.operators.sale_terms import MOST_ITEMS, require_new
from flashsale.domain.sales import Sale
from flashsale.runtime.process import fail, settings_or_fail

sale_app = typer.Typer(help="Create, show and change sales.", no_args_is_help=True)


@sale_app.command("create")
def create_sale(
    sku: Sku,
    stock: Annotated[
        int | None, typer.Option(min=0, max=MOST_ITEMS, help="Items for sale.", show_default=False)
    ] = None,
    no_stock: Annotated[
        bool,
        typer.Option(
            "--no-stock",
            help="The stock is the shop's: its order service at FLASHSALE_SINK_URL decides.",
        ),
    ] = False,
    customer_limit: Limit = None,
    opens_at: OpensAt = None,
    closes_at: ClosesAt = None,
    timezone: GivenZone = None,
    title: Title = None,
    price: Price = None,
    currency: Currency = None,
    picture_url: PictureUrl = None,
    needs_pass: NeedsPass = None,
    hold_seconds: HoldSeconds = None,
    waitlist: Waitlist = None,
    cancellable: Cancellable = None,
    extendable: Extendable = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Create a sale. Gateways offer it within a second.

    Without --opens-at it is open at once, and without --closes-at for good.
    """
    if (stock is None) != no_stock:
        fail("give either --stock or --no-stock")
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
        hold_seconds=hold_seconds,
        waitlist=waitlist,
        cancellable=bool(cancellable),
        extendable=bool(extendable),
    )
    delivers = settings_or_fail().sink_url is not None
    check = partial(require_new, delivers=delivers)
    created = with_ledger(lambda ledger: ledger.create_sale(sale, author(reason), check))
    if as_json:
        print_sale_json(created)
        return
    words = "the stock is the shop's" if stock is None else f"stock {stock}"
    print(f"created the sale of {sku}, {words}")
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
