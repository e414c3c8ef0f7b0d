"""`flashsale sale change | open | close | stock | delete`: change a sale while it runs."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer
from msgspec import UNSET

from flashsale.cli.json_output import AsJson
from flashsale.cli.ledger_command import with_ledger
from flashsale.cli.operator import author
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
    Sku,
    Title,
    Waitlist,
)
from flashsale.cli.sale.output import print_sale_json
from flashsale.cli.sale.schedule import schedule_or_fail
from flashsale.domain.operators.sale_changes import (
    CloseNow,
    OpenNow,
    SaleChange,
    StockChange,
    TermsChange,
)
from flashsale.domain.sales import Sale
from flashsale.runtime.process import fail, settings_or_fail


class Term(StrEnum):
    """A term that a sale may be without."""

    OPENS_AT = "opens-at"
    CLOSES_AT = "closes-at"
    CUSTOMER_LIMIT = "customer-limit"
    TITLE = "title"
    PRICE = "price"
    CURRENCY = "currency"
    PICTURE_URL = "picture-url"
    HOLD_SECONDS = "hold-seconds"
    WAITLIST = "waitlist"

    @property
    def field(self) -> str:
        """The name of the term in the product."""
        return self.value.replace("-", "_")


def add_changes(app: typer.Typer) -> None:
    """Add the commands that change a sale."""
    app.command("change")(change_sale)
    app.command("open")(open_sale)
    app.command("close")(close_sale)
    # Else -20 would be an option that nobody knows.
    app.command("stock", context_settings={"ignore_unknown_options": True})(change_stock)
    app.command("delete")(delete_sale)


def change_sale(
    sku: Sku,
    opens_at: OpensAt = None,
    closes_at: ClosesAt = None,
    timezone: GivenZone = None,
    customer_limit: Limit = None,
    title: Title = None,
    price: Price = None,
    currency: Currency = None,
    picture_url: PictureUrl = None,
    needs_pass: NeedsPass = None,
    hold_seconds: HoldSeconds = None,
    waitlist: Waitlist = None,
    cancellable: Cancellable = None,
    extendable: Extendable = None,
    remove: Annotated[
        list[Term] | None, typer.Option(help="A term to remove; may be given several times.")
    ] = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Change the schedule, the limit or what shoppers see. Gateways follow within a second."""
    schedule = schedule_or_fail(opens_at, closes_at, timezone)
    given: dict[str, Any] = {
        "opens_at": schedule.opens_at,
        "closes_at": schedule.closes_at,
        "customer_limit": customer_limit,
        "title": title,
        "price": price,
        "currency": currency,
        "picture_url": picture_url,
        "needs_pass": needs_pass,
        "hold_seconds": hold_seconds,
        "waitlist": waitlist,
        "cancellable": cancellable,
        "extendable": extendable,
    }
    removed = {term.field for term in remove or ()}
    for field in sorted(removed):
        if given[field] is not None:
            fail(f"--{field.replace('_', '-')}: give a value or remove it")
    wanted = {
        field: value if field in removed or value is not None else UNSET
        for field, value in given.items()
    }
    delivers = settings_or_fail().sink_url is not None
    sale = _apply(sku, TermsChange(**wanted, delivers=delivers), reason)
    if as_json:
        print_sale_json(sale)
        return
    print(f"changed the sale of {sku}")
    schedule.tell()


def open_sale(sku: Sku, reason: Reason = None, as_json: AsJson = False) -> None:
    """Open a sale now, one that is scheduled, closed, or that the shop has sold out."""
    _report(_apply(sku, OpenNow(), reason), as_json, lambda sale: f"the sale of {sale.sku} is open")


def close_sale(sku: Sku, reason: Reason = None, as_json: AsJson = False) -> None:
    """Close a sale now. Orders that wait in the queue are decided as before."""
    _report(
        _apply(sku, CloseNow(), reason), as_json, lambda sale: f"the sale of {sale.sku} is closed"
    )


def change_stock(
    sku: Sku,
    items: Annotated[
        int, typer.Argument(help="Items to add, such as +500, or to take away, such as -20.")
    ],
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Add items to the stock or take some away, never below what is sold."""
    _report(
        _apply(sku, StockChange(items), reason),
        as_json,
        lambda sale: f"the stock of {sale.sku} is {sale.stock}, {sale.remaining} are left",
    )


def delete_sale(sku: Sku, reason: Reason = None, as_json: AsJson = False) -> None:
    """Delete a sale that never sold and that no decided order names."""
    with_ledger(lambda ledger: ledger.delete_sale(sku, author(reason)))
    print(f'{{"deleted": "{sku}"}}' if as_json else f"deleted the sale of {sku}")


def _apply(sku: str, change: SaleChange, reason: str | None) -> Sale:
    return with_ledger(lambda ledger: ledger.change_sale(sku, change, author(reason)))


def _report(sale: Sale, as_json: bool, words: Callable[[Sale], str]) -> None:
    if as_json:
        print_sale_json(sale)
    else:
        print(words(sale))
