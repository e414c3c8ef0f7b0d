"""The pages and what they load: files, read once, no build step."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.http.json_response import Answer

_FOLDER = Path(__file__).parent
_FILES = {
    "/": ("shop.html", "text/html; charset=utf-8"),
    "/page/shop.css": ("shop.css", "text/css; charset=utf-8"),
    "/page/shop.js": ("shop.js", "text/javascript; charset=utf-8"),
    "/page/shop.svg": ("shop.svg", "image/svg+xml"),
}
_OPS_FILES = {
    "/ops": ("ops.html", "text/html; charset=utf-8"),
    "/ops/ops.css": ("ops.css", "text/css; charset=utf-8"),
    "/ops/ops.js": ("ops.js", "text/javascript; charset=utf-8"),
    "/ops/uplot.css": ("uplot/uPlot.min.css", "text/css; charset=utf-8"),
    "/ops/uplot.js": ("uplot/uPlot.iife.min.js", "text/javascript; charset=utf-8"),
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
    """Serve the shopper's page at `/`."""
    for path, (name, content_type) in _FILES.items():
        app.router.add_get(path, _page((_FOLDER / name).read_bytes(), content_type))


def ops_pages() -> Iterator[tuple[str, Handler]]:
    """The operator's page and what it loads, by path."""
    for path, (name, content_type) in _OPS_FILES.items():
        yield path, _page((_FOLDER / name).read_bytes(), content_type)


def _page(body: bytes, content_type: str) -> Handler:
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = _HEADERS | {"ETag": tag}

    async def page(request: web.Request) -> web.StreamResponse:
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return Answer(body, headers=headers, content_type=content_type)

    return page
