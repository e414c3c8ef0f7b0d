"""The shopper's page and what it loads: four files, read once, no build step."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from gateway.answers import Answer

_FOLDER = Path(__file__).parent
_FILES = {
    "/": ("shop.html", "text/html; charset=utf-8"),
    "/page/shop.css": ("shop.css", "text/css; charset=utf-8"),
    "/page/shop.js": ("shop.js", "text/javascript; charset=utf-8"),
    "/page/shop.svg": ("shop.svg", "image/svg+xml"),
}
_HEADERS = {
    # Nothing but what this gateway serves: no inline script, no third party, no frame around it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # ask each time whether it changed
}


def add_pages(app: web.Application) -> None:
    """Serve the page at `/`."""
    for path, (name, content_type) in _FILES.items():
        app.router.add_get(path, _page((_FOLDER / name).read_bytes(), content_type))


def _page(body: bytes, content_type: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = _HEADERS | {"ETag": tag}

    async def page(request: web.Request) -> web.StreamResponse:
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return Answer(body, headers=headers, content_type=content_type)

    return page
