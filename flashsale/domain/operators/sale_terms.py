"""The terms that a sale may have. Each rule refuses a wrong value with the reason in words."""

import re
from collections.abc import Collection

from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.orders import SKU_PATTERN
from flashsale.domain.sales import Sale

MOST_ITEMS = 2**31 - 1
"""The largest stock, and the largest limit of a customer."""
LONGEST_HOLD_SECONDS = 86_400
LONGEST_TITLE = 200
LONGEST_ADDRESS = 2_000

_TIMES = ("opens_at", "closes_at")
# What else there is to do, by the field and whether the sale is a new one.
_INSTEAD = {
    ("opens_at", False): ": open the sale now instead",
    ("closes_at", False): ": close the sale now instead",
    ("opens_at", True): ": without it the sale is open at once",
    ("closes_at", True): "",
}

_PRICE = re.compile(r"(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?\Z")
_CURRENCY = re.compile(r"[A-Z]{3}\Z")
# Neither space nor quote, so that the address can stand wherever an address may.
_PATH = r"/(?!/)[A-Za-z0-9\-._~%!$&()*+,;=:@/]*(\?[A-Za-z0-9\-._~%!$&()*+,;=:@/?]*)?"
_PICTURE = re.compile(rf"(?P<origin>https://[A-Za-z0-9.-]{{1,253}}(:[0-9]{{1,5}})?)?({_PATH})\Z")


def require_new(sale: Sale, now: float, *, delivers: bool = False) -> None:
    """Raise `ChangeRefused` unless a new sale may have these terms at Unix time `now`.

    `delivers` is whether orders are delivered to the order service of the shop: without it nobody
    could decide the orders of a sale without a stock of ours.
    """
    if not re.match(SKU_PATTERN, sale.sku):
        raise ChangeRefused(
            "sku",
            f"{sale.sku!r} must be 1 to 64 letters, digits, dots, underscores and hyphens",
        )
    if sale.stock is None and not delivers:
        raise ChangeRefused(
            "stock",
            "a sale without stock needs an order service that decides: set FLASHSALE_SINK_URL",
        )
    if sale.stock is not None and not 0 <= sale.stock <= MOST_ITEMS:
        raise ChangeRefused("stock", f"must be 0 to {MOST_ITEMS} items")
    require_limit(sale.customer_limit)
    require_shown(sale)
    require_schedule(sale, now)
    require_holds(sale, delivers=delivers)


def require_limit(limit: int | None) -> None:
    """Raise `ChangeRefused` for a wrong limit of a customer."""
    if limit is not None and not 1 <= limit <= MOST_ITEMS:
        raise ChangeRefused("customer_limit", f"must be 1 to {MOST_ITEMS} items")


def require_holds(sale: Sale, before: Sale | None = None, *, delivers: bool = False) -> None:
    """Raise `ChangeRefused` unless a sale may have these terms of holds.

    While items are held or orders wait, a sale goes on with holds, and `before` has the price for
    which they are held. `delivers` is as for `require_new`; a sale that has holds already keeps
    them.
    """
    if sale.hold_seconds is not None:
        if not 1 <= sale.hold_seconds <= LONGEST_HOLD_SECONDS:
            raise ChangeRefused(
                "hold_seconds", f"must be 1 to {LONGEST_HOLD_SECONDS} seconds, which is a day"
            )
        if sale.stock is None:
            raise ChangeRefused(
                "hold_seconds", "the stock of this sale is the shop's, so nothing can be held here"
            )
        if delivers and (before is None or before.hold_seconds is None):
            raise ChangeRefused(
                "hold_seconds",
                "orders go to an order service (FLASHSALE_SINK_URL), which takes no held ones",
            )
    if sale.waitlist is not None and not 0 <= sale.waitlist <= MOST_ITEMS:
        raise ChangeRefused("waitlist", f"must be 0 to {MOST_ITEMS} orders")
    open_orders = sale.held or sale.waiting
    if sale.hold_seconds is None:
        if open_orders and before is not None and before.hold_seconds is not None:
            raise ChangeRefused(
                "hold_seconds",
                f"{sale.held} items are held and {sale.waiting} orders wait: close the sale, and"
                " wait until they are paid or over",
            )
        if sale.waitlist:
            raise ChangeRefused("waitlist", "needs hold_seconds: only what is held can be freed")
        if sale.extendable:
            raise ChangeRefused("extendable", "needs hold_seconds")
    if (
        before is not None
        and sale.held
        and (sale.price, sale.currency) != (before.price, before.currency)
    ):
        field = "price" if sale.price != before.price else "currency"
        raise ChangeRefused(field, f"{sale.held} items are held for the price that was told")


def require_schedule(
    sale: Sale, now: float, before: Sale | None = None, given: Collection[str] = ()
) -> None:
    """Raise `ChangeRefused` unless a sale may open and close at these times at Unix time `now`.

    A time that is new must be in the future; one that `before` has may be past. `given` are the
    fields that were asked for.
    """
    known = (None, None) if before is None else (before.opens_at, before.closes_at)
    if (sale.opens_at, sale.closes_at) == known:
        return
    for field, moment, old in zip(_TIMES, (sale.opens_at, sale.closes_at), known, strict=True):
        if moment is not None and moment != old and moment <= now:
            raise ChangeRefused(field, f"must be in the future{_INSTEAD[field, before is None]}")
    if sale.opens_at is not None and sale.closes_at is not None and sale.closes_at <= sale.opens_at:
        field = "opens_at" if given and "closes_at" not in given else "closes_at"
        raise ChangeRefused(field, "the sale would end before it begins")


def require_shown(sale: Sale) -> None:
    """Raise `ChangeRefused` for a wrong title, price, currency or picture."""
    if sale.title is not None and not (
        0 < len(sale.title) <= LONGEST_TITLE and sale.title.isprintable() and sale.title.strip()
    ):
        raise ChangeRefused("title", f"must be 1 to {LONGEST_TITLE} characters in one line")
    if sale.price is not None and not _PRICE.match(sale.price):
        raise ChangeRefused("price", "must be a decimal number such as 499.00")
    if sale.currency is not None and not _CURRENCY.match(sale.currency):
        raise ChangeRefused("currency", "must be three capital letters of ISO 4217, such as EUR")
    url = sale.picture_url
    if url is not None and (len(url) > LONGEST_ADDRESS or not _PICTURE.match(url)):
        raise ChangeRefused(
            "picture_url",
            f"must be an https address or a path that begins with /, of at most {LONGEST_ADDRESS}"
            " characters",
        )


def picture_origin(url: str) -> str | None:
    """Return the site of a picture, such as `https://cdn.example.com`; None if it is our own."""
    found = _PICTURE.match(url)
    return found["origin"] if found else None
