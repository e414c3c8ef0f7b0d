"""Print sales: as a table for people, as JSON for programs."""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, tzinfo
from typing import Any

from rich.console import Console
from rich.table import Table

from flashsale.cli.json_output import print_json
from flashsale.cli.sale.times import written
from flashsale.domain.sales import Sale
from flashsale.domain.shown_terms import shown_terms

_PIPE_COLUMNS = 220


def print_sales(sales: Sequence[Sale], zone: tzinfo | None) -> None:
    """Print a table of sales, with times of that zone, else in UTC."""
    table = Table()
    for name in ("sku", "stock", "sold", "remaining", "customer limit", "opens", "closes"):
        table.add_column(name, overflow="fold")
    shown = any(sale.title or sale.price for sale in sales)
    if shown:
        table.add_column("title", overflow="fold")
        table.add_column("price", overflow="fold")
    passes = any(sale.needs_pass for sale in sales)
    if passes:
        table.add_column("pass")
    holds = any(sale.has_holds for sale in sales)
    if holds:
        for name in ("held", "hold seconds", "waiting"):
            table.add_column(name)
    for sale in sales:
        theirs = ("the shop's", sale.sold, "none" if sale.sold_out else None)
        ours = (sale.stock, sale.sold, sale.remaining)
        numbers = (*(theirs if sale.stock is None else ours), sale.customer_limit)
        row = [
            sale.sku,
            *("" if n is None else str(n) for n in numbers),
            *(
                # RFC 3339, 5.6 allows a space, at which a narrow terminal breaks the line.
                "" if seconds is None else written(seconds, zone or UTC).replace("T", " ")
                for seconds in (sale.opens_at, sale.closes_at)
            ),
        ]
        if shown:
            row += [sale.title or "", " ".join(filter(None, (sale.price, sale.currency)))]
        if passes:
            row.append("needed" if sale.needs_pass else "")
        if holds:
            of_line = f"{sale.waiting} of {sale.waitlist or 0}" if sale.has_holds else ""
            row += [str(sale.held), str(sale.hold_seconds or ""), of_line]
        table.add_row(*row)
    # A reader of a pipe finds each value in one piece.
    Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(table)


def print_sales_json(sales: Sequence[Sale]) -> None:
    """Print a JSON array of sales."""
    print_json([_fields(sale) for sale in sales])


def print_sale_json(sale: Sale) -> None:
    """Print a sale as a JSON object, with the fields of `GET /admin/sales/{sku}`."""
    print_json(_fields(sale))


def _fields(sale: Sale) -> dict[str, Any]:
    return shown_terms(sale, time.time()) | {"version": sale.version}
