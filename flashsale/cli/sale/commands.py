"""`flashsale sale create | list | show`: create and show sales."""

from typing import Annotated

import typer

from flashsale.cli.ledger_command import with_ledger
from flashsale.cli.operator import author
from flashsale.cli.sale.changes import add_changes
from flashsale.cli.sale.options import (
    AsJson,
    Currency,
    GivenZone,
    Limit,
    NeedsPass,
    PictureUrl,
    Price,
    Reason,
    ShowZone,
    Sku,
    Title,
)
from flashsale.cli.sale.output import print_sale_json, print_sales, print_sales_json
from flashsale.cli.sale.times import in_words, moment_or_fail, unix_seconds, zone_or_fail
from flashsale.domain.controls import ChangeRefused
from flashsale.domain.sale_terms import MOST_ITEMS, require_terms
from flashsale.domain.sales import Sale
from flashsale.runtime.process import fail

sale_app = typer.Typer(help="Create, show and change sales.", no_args_is_help=True)


@sale_app.command("create")
def create_sale(
    sku: Sku,
    stock: Annotated[int, typer.Option(min=0, max=MOST_ITEMS, help="Items for sale.")],
    customer_limit: Limit = None,
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
    timezone: GivenZone = None,
    title: Title = None,
    price: Price = None,
    currency: Currency = None,
    picture_url: PictureUrl = None,
    needs_pass: NeedsPass = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Create a sale. Gateways offer it within a second."""
    zone = zone_or_fail(timezone)
    opens = moment_or_fail("--opens-at", opens_at, zone)
    closes = moment_or_fail("--closes-at", closes_at, zone)
    sale = Sale(
        sku,
        stock,
        customer_limit=customer_limit,
        opens_at=unix_seconds(opens),
        closes_at=unix_seconds(closes),
        title=title,
        price=price,
        currency=currency,
        picture_url=picture_url,
        needs_pass=bool(needs_pass),
    )
    try:
        require_terms(sale)
    except ChangeRefused as refused:
        fail(f"{sku!r}: {refused}" if refused.field == "sku" else str(refused))
    created = with_ledger(lambda ledger: ledger.create_sale(sale, author(reason)))
    if as_json:
        print_sale_json(created)
        return
    print(f"created the sale of {sku}, stock {stock}")
    for verb, moment, text in (("opens", opens, opens_at), ("closes", closes, closes_at)):
        if moment is not None and text is not None:
            print(f"{verb} {in_words(moment, text, zone)}")


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
