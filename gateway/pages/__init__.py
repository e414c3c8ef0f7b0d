"""The pages and their assets: plain files, read once, without a build step."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.context import CONTEXT
from gateway.http.common_headers import PAGE, header_lines
from gateway.http.json_response import JsonResponse
from gateway.http.validators import has_version
from gateway.pages.pictures import page_headers, picture_sites

_FOLDER = Path(__file__).parent
_SHOP_PAGE = ("shop.html", "text/html; charset=utf-8")
_SHOP_FILES = {
    # Not below /page, which may change: shops import it at this address.
    "/client.js": ("client.js", "text/javascript; charset=utf-8"),
    **{
        f"/page/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("hold", "memory", "sale", "words")
    },
    "/page/shop.css": ("shop.css", "text/css; charset=utf-8"),
    "/page/shop.js": ("shop.js", "text/javascript; charset=utf-8"),
    "/page/shop.svg": ("shop.svg", "image/svg+xml"),
}
_OPS_SCRIPTS = (
    "audit",
    "charts",
    "control",
    "dead_letters",
    "dialog",
    "drain",
    "intake",
    "ops",
    "requests",
    "sales",
    "samples",
    "words",
)
_OPS_FILES = {
    "/ops": ("ops/ops.html", "text/html; charset=utf-8"),
    "/ops/ops.css": ("ops/ops.css", "text/css; charset=utf-8"),
    **{
        f"/ops/{name}.js": (f"ops/{name}.js", "text/javascript; charset=utf-8")
        for name in _OPS_SCRIPTS
    },
    "/ops/uplot.css": ("uplot/uPlot.min.css", "text/css; charset=utf-8"),
    "/ops/uplot.js": ("uplot/uPlot.iife.min.js", "text/javascript; charset=utf-8"),
}
_DOCS_FILES = {
    "/docs": ("docs/docs.html", "text/html; charset=utf-8"),
    "/docs/docs.css": ("docs/docs.css", "text/css; charset=utf-8"),
    **{
        f"/docs/{name}.js": (f"docs/{name}.js", "text/javascript; charset=utf-8")
        for name in ("docs", "elements", "operations", "schemas")
    },
}
_DEMO_FILES = {
    "/demo/pay.js": ("demo_pay.js", "text/javascript; charset=utf-8"),
    "/demo/pay/{order_id}": ("demo_pay.html", "text/html; charset=utf-8"),
}
_COMMON = header_lines(PAGE)

SHOP_TYPES = {"/": _SHOP_PAGE[1], **{path: of for path, (_, of) in _SHOP_FILES.items()}}
"""The content types of the shopper's page and its assets, by path."""

OPS_TYPES = {path: content_type for path, (_, content_type) in _OPS_FILES.items()}
"""The content types of the operator's page and its assets, by path."""

DOCS_TYPES = {path: content_type for path, (_, content_type) in _DOCS_FILES.items()}
"""The content types of the page that shows the API, and its assets, by path."""

DEMO_TYPES = {path: content_type for path, (_, content_type) in _DEMO_FILES.items()}
"""The content types of the demonstration of a payment page, and its assets, by path."""


def shop_files() -> Iterator[tuple[str, Handler]]:
    """Yield the paths and handlers of the shopper's page and its assets."""
    yield "/", _shop_page_handler((_FOLDER / _SHOP_PAGE[0]).read_bytes(), _SHOP_PAGE[1])
    yield from _handlers(_SHOP_FILES)


def ops_files() -> Iterator[tuple[str, Handler]]:
    """Yield the paths and handlers of the operator's page and its assets."""
    return _handlers(_OPS_FILES)


def docs_files() -> Iterator[tuple[str, Handler]]:
    """Yield the paths and handlers of the page that shows the API, and its assets."""
    return _handlers(_DOCS_FILES)


def demo_files() -> Iterator[tuple[str, Handler]]:
    """Yield the paths and handlers of the demonstration of a payment page, and its assets."""
    return _handlers(_DEMO_FILES)


def _handlers(files: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, Handler]]:
    for path, (name, content_type) in files.items():
        yield path, _file_handler((_FOLDER / name).read_bytes(), content_type)


def _file_handler(body: bytes, content_type: str) -> Handler:
    etag = _entity_tag(body)

    async def serve_file(request: web.Request) -> web.StreamResponse:
        return _response(request, body, etag, content_type, _COMMON)

    return serve_file


def _shop_page_handler(body: bytes, content_type: str) -> Handler:
    async def serve_page(request: web.Request) -> web.StreamResponse:
        common = page_headers(picture_sites(request.app[CONTEXT].sales))
        # A browser keeps the policy of the page that it has, whatever a 304 says.
        etag = _entity_tag(body, common)
        return _response(request, body, etag, content_type, common)

    return serve_page


@lru_cache(maxsize=32)
def _entity_tag(body: bytes, headers: str = "") -> str:
    return f'"{hashlib.sha256(body + headers.encode()).hexdigest()[:16]}"'


def _response(
    request: web.Request, body: bytes, etag: str, content_type: str, common: str
) -> web.StreamResponse:
    status = 304 if has_version(request, etag) else 200
    return JsonResponse(body, status, {"ETag": etag}, content_type, common)
