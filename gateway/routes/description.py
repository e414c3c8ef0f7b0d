"""`GET /openapi.json`: the description of this API, and `GET /docs`: a page that shows it."""

import hashlib
from functools import lru_cache

import msgspec
from aiohttp import web

from flashsale.runtime.settings import Settings
from gateway.context import CONTEXT
from gateway.http.common_headers import PAGE, header_lines
from gateway.http.json_response import JsonResponse
from gateway.http.validators import has_version
from gateway.openapi.document import openapi_document
from gateway.openapi.operation import (
    ENTITY_TAG,
    IF_NONE_MATCH,
    Answer,
    Operation,
    Operations,
    files,
)
from gateway.pages import DOCS_TYPES, docs_files

_COMMON = header_lines(PAGE)
_encode = msgspec.json.Encoder().encode


class Documents:
    """The documents of a gateway: they differ by the path at which clients find it."""

    def __init__(self, operations: Operations, settings: Settings) -> None:
        self._operations = operations
        self._settings = settings
        # A proxy that is trusted may send any prefix.
        self.at = lru_cache(maxsize=8)(self._write)

    def _write(self, prefix: str) -> tuple[bytes, str]:
        """Return the document, and its entity tag."""
        body = _encode(openapi_document(self._operations, self._settings, prefix))
        return body, f'"{hashlib.sha256(body).hexdigest()[:16]}"'


DOCUMENTS = web.AppKey("documents", Documents)


async def get_description(request: web.Request) -> JsonResponse:
    """Answer with the OpenAPI document."""
    app = request.app
    body, etag = app[DOCUMENTS].at(app[CONTEXT].public_path.of(request))
    status = 304 if has_version(request, etag) else 200
    return JsonResponse(body, status, {"ETag": etag}, common=_COMMON)


ROUTES = [
    web.get("/openapi.json", get_description),
    *(web.get(path, handler) for path, handler in docs_files()),
]

OPERATIONS = {
    "GET /openapi.json": Operation(
        "getDescription",
        "Describe this API",
        {
            200: Answer("An OpenAPI document.", headers=ENTITY_TAG),
            304: Answer("The client has this version.", content_type=None, headers=ENTITY_TAG),
        },
        parameters=(IF_NONE_MATCH,),
    ),
    **files(DOCS_TYPES),
}
