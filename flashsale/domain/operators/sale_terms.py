"""The terms that a sale may have. Each rule refuses a wrong value with the reason in words."""

import re

from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.orders import SKU_PATTERN
from flashsale.domain.sales import Sale

MOST_ITEMS = 2**31 - 1
"""The largest stock, and the largest limit of a customer."""
LONGEST_TITLE = 200
LONGEST_ADDRESS = 2_000

_PRICE = re.compile(r"(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?\Z")
_CURRENCY = re.compile(r"[A-Z]{3}\Z")
# Neither space nor quote, so that the address can stand wherever an address may.
_PATH = r"/(?!/)[A-Za-z0-9\-._~%!$&()*+,;=:@/]*(\?[A-Za-z0-9\-._~%!$&()*+,;=:@/?]*)?"
_PICTURE = re.compile(rf"(?P<origin>https://[A-Za-z0-9.-]{{1,253}}(:[0-9]{{1,5}})?)?({_PATH})\Z")


def require_terms(sale: Sale) -> None:
    """Raise `ChangeRefused` unless a new sale may have these terms, whenever they are."""
    if not re.match(SKU_PATTERN, sale.sku):
        raise ChangeRefused("sku", "must be 1 to 64 letters, digits, dots, underscores and hyphens")
    if not 0 <= sale.stock <= MOST_ITEMS:
        raise ChangeRefused("stock", f"must be 0 to {MOST_ITEMS} items")
    require_limit(sale.customer_limit)
    require_shown(sale)
    require_order(sale, "closes_at")


def require_new(sale: Sale, now: float) -> None:
    """Raise `ChangeRefused` unless a new sale may have these terms at Unix time `now`."""
    require_terms(sale)
    require_future("opens_at", sale.opens_at, now)
    require_future("closes_at", sale.closes_at, now)


def require_limit(limit: int | None) -> None:
    """Raise `ChangeRefused` for a wrong limit of a customer."""
    if limit is not None and not 1 <= limit <= MOST_ITEMS:
        raise ChangeRefused("customer_limit", f"must be 1 to {MOST_ITEMS} items")


def require_order(sale: Sale, field: str) -> None:
    """Raise `ChangeRefused` for this field if the sale would close before or when it opens."""
    if sale.opens_at is not None and sale.closes_at is not None and sale.closes_at <= sale.opens_at:
        raise ChangeRefused(field, "the sale would end before it begins")


def require_future(field: str, moment: float | None, now: float) -> None:
    """Raise `ChangeRefused` if an opening or a closing is not after `now`."""
    if moment is not None and moment <= now:
        verb = "open" if field == "opens_at" else "close"
        raise ChangeRefused(field, f"must be in the future: {verb} the sale now instead")


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
