"""The sites of the pictures of sales, which the shopper's page may show."""

from collections.abc import Iterable
from functools import lru_cache

from flashsale.domain.operators.sale_terms import picture_origin
from flashsale.domain.sales import Sale
from gateway.http.common_headers import PAGE, header_lines

MOST_SITES = 20
"""A policy is a header, and proxies limit the length of headers."""

_origin_of = lru_cache(maxsize=2_000)(picture_origin)


def picture_sites(sales: Iterable[Sale]) -> tuple[str, ...]:
    """Return the sites of the sales' pictures, sorted, but at most `MOST_SITES`."""
    urls = {sale.picture_url for sale in sales if sale.picture_url is not None}
    return tuple(sorted({site for url in urls if (site := _origin_of(url))})[:MOST_SITES])


@lru_cache(maxsize=16)
def page_headers(sites: tuple[str, ...]) -> str:
    """Return the headers of a page that may show pictures of these sites, and nothing else."""
    headers = dict(PAGE)
    policy = headers["Content-Security-Policy"]
    headers["Content-Security-Policy"] = policy.replace(
        "img-src 'self'", " ".join(("img-src 'self'", *sites))
    )
    return header_lines(headers)
