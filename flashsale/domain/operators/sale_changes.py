"""What an operator may change about a sale, each change as a pure rule."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol

from msgspec import UNSET, UnsetType

from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.operators.sale_terms import (
    MOST_ITEMS,
    require_holds,
    require_limit,
    require_schedule,
    require_shown,
)
from flashsale.domain.sales import Sale

_ROUNDED_SECONDS = 2e-6


class StockBelowSold(ChangeRefused):
    """The stock can't be less than what is sold. Nothing was changed."""


class SaleChange(Protocol):
    """A change of a sale."""

    action: ClassVar[str]
    """What the audit calls it."""

    def apply(self, sale: Sale, now: float) -> Sale:
        """Return the changed sale; `now` is in Unix seconds. Raises `ChangeRefused`."""

    @property
    def wanted(self) -> Mapping[str, Any]:
        """What was asked for, by which a repeated request is recognised."""


@dataclass(frozen=True)
class TermsChange:
    """A change of the terms. UNSET leaves a term as it is, and None removes it.

    An order counts by the moment when it was accepted. If the opening of an open sale is moved to
    later, orders that wait in the queue are rejected as `sale_not_open`.
    """

    action: ClassVar[str] = "sale.change"

    opens_at: float | UnsetType | None = UNSET
    closes_at: float | UnsetType | None = UNSET
    customer_limit: int | UnsetType | None = UNSET
    title: str | UnsetType | None = UNSET
    price: str | UnsetType | None = UNSET
    currency: str | UnsetType | None = UNSET
    picture_url: str | UnsetType | None = UNSET
    needs_pass: bool | UnsetType = UNSET
    hold_seconds: int | UnsetType | None = UNSET
    waitlist: int | UnsetType | None = UNSET
    cancellable: bool | UnsetType = UNSET
    extendable: bool | UnsetType = UNSET
    delivers: bool = False
    """Whether orders go to the order service of the shop, which takes no held ones. No term."""

    @property
    def wanted(self) -> Mapping[str, Any]:
        """The terms that are given."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        del given["delivers"]
        return {name: value for name, value in given.items() if value is not UNSET}

    def apply(self, sale: Sale, now: float) -> Sale:
        """Return the sale with the other terms. Raises `ChangeRefused`."""
        wanted = self.wanted
        if not wanted:
            raise ChangeRefused("", "nothing to change: give at least one term")
        as_read = {
            field: getattr(sale, field)
            for field in ("opens_at", "closes_at")
            if _as_read(wanted.get(field), getattr(sale, field))
        }
        changed = replace(sale, **{**wanted, **as_read})
        require_limit(changed.customer_limit)
        require_shown(changed)
        require_schedule(changed, now, sale, wanted)
        require_holds(changed, sale, delivers=self.delivers)
        return changed


def _as_read(wanted: float | None, known: float | None) -> bool:
    """Return whether a moment comes back as it was read, rounded to microseconds.

    It may then be in the past.
    """
    return wanted is not None and known is not None and abs(wanted - known) < _ROUNDED_SECONDS


@dataclass(frozen=True)
class StockChange:
    """Items that are added to the stock, or taken away from it if the number is negative."""

    action: ClassVar[str] = "sale.stock"

    add: int

    @property
    def wanted(self) -> Mapping[str, Any]:
        """The items."""
        return {"add": self.add}

    def apply(self, sale: Sale, now: float) -> Sale:
        """Return the sale with the other stock. Raises `ChangeRefused` or `StockBelowSold`."""
        if self.add == 0:
            raise ChangeRefused("add", "must not be 0")
        if sale.stock is None:
            raise ChangeRefused("add", "the stock of this sale is the shop's")
        stock = sale.stock + self.add
        if stock < sale.sold + sale.held:
            held = f" and {sale.held} are held" if sale.held else ""
            raise StockBelowSold(
                "add",
                f"{sale.sold} of {sale.stock} items are sold{held}, so at most"
                f" {sale.stock - sale.sold - sale.held} can be"
                " taken away",
            )
        if stock > MOST_ITEMS:
            raise ChangeRefused("add", f"the stock can be at most {MOST_ITEMS} items")
        return replace(sale, stock=stock)


@dataclass(frozen=True)
class OpenNow:
    """Open a sale that is scheduled or closed. An open sale stays as it is.

    If the stock is the shop's, a sale that the shop has sold out opens again: orders are delivered
    until the shop says so once more. A closing that is still to come stays.
    """

    action: ClassVar[str] = "sale.open"

    @property
    def wanted(self) -> Mapping[str, Any]:
        """Nothing else."""
        return {}

    def apply(self, sale: Sale, now: float) -> Sale:
        """Return the open sale."""
        return replace(
            sale,
            opens_at=sale.opens_at if sale.opened(now) else now,
            closes_at=None if sale.closed(now) else sale.closes_at,
            sold_out=False,
        )


@dataclass(frozen=True)
class CloseNow:
    """Close a sale, one that has not opened, too. A closed sale stays as it is.

    Orders that were accepted before and wait in the queue are decided as before.
    """

    action: ClassVar[str] = "sale.close"

    @property
    def wanted(self) -> Mapping[str, Any]:
        """Nothing else."""
        return {}

    def apply(self, sale: Sale, now: float) -> Sale:
        """Return the closed sale."""
        return sale if sale.closed(now) else replace(sale, closes_at=now)
