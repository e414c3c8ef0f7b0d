"""The headers that every response has: they keep caches, and other sites, from misusing it."""

from collections.abc import Mapping

_EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

API = {
    # Without it a cache may keep a 404 for an order for as long as it likes (RFC 9111 4.2.2).
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    **_EVERYWHERE,
}
"""The headers of every answer that is no page: of orders, of sales, and of all errors."""

PAGE = {
    "Cache-Control": "no-cache",  # browsers ask each time whether the file changed
    # Allow only what this gateway serves: no inline script, no third party, no frame around it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    **_EVERYWHERE,
}
"""The headers of pages and of their files."""


def header_lines(headers: Mapping[str, str]) -> str:
    """Return headers as they are sent, each line with its end."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
